-- What the journal needs to grow with what is new in it, and no faster.
--
-- `step.result`, `request.data` and the `data` columns here hold packed bytes, which say by their first
-- one how to read them: JSON as it is, squeezed, the digest of a `body`, or names of what was `said`.

CREATE TABLE said (                     -- each message of a run's conversations once, and their heads
    id          INTEGER PRIMARY KEY,
    message     INTEGER NOT NULL,       -- whose run
    hash        BLOB NOT NULL,          -- of all up to this one, itself included
    before      BLOB NOT NULL,          -- the hash of the one before; empty for the first, and for heads
    data        BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX said_of ON said (message, hash);

CREATE TABLE body (                     -- what is large, once for all runs that have it
    id          INTEGER PRIMARY KEY,
    hash        BLOB NOT NULL UNIQUE,   -- SHA-256
    size        INTEGER NOT NULL,       -- unpacked
    used_at     REAL NOT NULL,          -- when it was last referred to: writing this is the lock against whoever sweeps
    data        BLOB NOT NULL
) STRICT;

CREATE TABLE body_use (                 -- which runs have it
    message     INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    PRIMARY KEY (message, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX body_used_by ON body_use (hash);

CREATE TABLE run (                      -- only for runs of which there is something to say
    message     INTEGER PRIMARY KEY,
    replayed    BLOB,                   -- usage of recorded answers that were replayed instead of paid for
    origin      INTEGER,                -- the message it was forked from
    origin_step INTEGER                 -- and from which step on it goes its own way
) STRICT;

ALTER TABLE step ADD COLUMN format INTEGER NOT NULL DEFAULT 1;  -- of keys and fingerprints: `agents/journal.py`
ALTER TABLE step ADD COLUMN origin INTEGER;  -- the message it was recorded for, where it was copied; 0: it was imported
