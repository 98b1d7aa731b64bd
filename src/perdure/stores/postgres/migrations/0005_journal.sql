-- What the journal needs to grow with what is new in it, and no faster.
--
-- `step.result`, `request.data` and the `data` columns here hold packed bytes, which say by their first
-- one how to read them: JSON as it is, squeezed, the digest of a `body`, or names of what was `said`.
-- PostgreSQL need not try to make them smaller once more.

CREATE TABLE said (                     -- each message of a run's conversations once, and their heads
    message     bigint NOT NULL,        -- whose run
    hash        bytea NOT NULL,         -- of all up to this one, itself included
    before      bytea NOT NULL,         -- the hash of the one before; empty for the first, and for heads
    data        bytea NOT NULL,
    PRIMARY KEY (message, hash)
);

CREATE TABLE body (                     -- what is large, once for all runs that have it
    hash        bytea PRIMARY KEY,      -- SHA-256
    size        bigint NOT NULL,        -- unpacked
    used_at     double precision NOT NULL,  -- when it was last referred to: writing this is the lock against whoever sweeps
    data        bytea NOT NULL
);

CREATE TABLE body_use (                 -- which runs have it
    message     bigint NOT NULL,
    hash        bytea NOT NULL,
    PRIMARY KEY (message, hash)
);
CREATE INDEX body_used_by ON body_use (hash);

CREATE TABLE run (                      -- only for runs of which there is something to say
    message     bigint PRIMARY KEY,
    replayed    bytea,                  -- usage of recorded answers that were replayed instead of paid for
    origin      bigint,                 -- the message it was forked from
    origin_step integer                 -- and from which step on it goes its own way
);

ALTER TABLE step ADD COLUMN format integer NOT NULL DEFAULT 1;  -- of keys and fingerprints: `agents/journal.py`
ALTER TABLE step ADD COLUMN origin bigint;  -- the message it was recorded for, where it was copied; 0: it was imported

ALTER TABLE said ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE body ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE step ALTER COLUMN result SET STORAGE EXTERNAL;
ALTER TABLE request ALTER COLUMN data SET STORAGE EXTERNAL;
