-- Waiting for something that comes, and belonging together.
--
-- Theory of operation. Whatever a message waits for knows the message, never the other way round: a signal names
-- its message, a child its parent (`message.parent`), a member its group (`message.grp`). So what comes wakes who
-- waits in its own transaction, by primary keys, and nobody ever looks through those that wait. Whoever parks
-- touches the same row as what comes (`mail`, `awaited`), so that of two at the same time one sees the other.

ALTER TABLE waiting ADD COLUMN until REAL;      -- when it goes on without what it waits for
CREATE INDEX waiting_due ON waiting (until) WHERE until IS NOT NULL;

ALTER TABLE lease ADD COLUMN called_off REAL;   -- since when somebody wants it cancelled

ALTER TABLE message ADD COLUMN grp INTEGER;

CREATE TABLE signal (                   -- what messages were told; kept until they are
    id          INTEGER PRIMARY KEY,
    message     INTEGER NOT NULL,
    name        TEXT NOT NULL,
    key         TEXT,
    at          REAL NOT NULL,
    step        INTEGER,                -- that took it
    data        BLOB NOT NULL
) STRICT;
CREATE INDEX signal_to_take ON signal (message, name, step, id);
CREATE UNIQUE INDEX signal_of_key ON signal (message, name, key) WHERE key IS NOT NULL;

CREATE TABLE mail (                     -- one row for each message that waits for signals or was sent one
    message     INTEGER PRIMARY KEY,
    sent        INTEGER NOT NULL,
    taken       INTEGER NOT NULL
) STRICT;

CREATE TABLE child (                    -- who was sent by a run
    id          INTEGER PRIMARY KEY,
    parent      INTEGER NOT NULL,
    depth       INTEGER NOT NULL        -- senders behind it
) STRICT;
CREATE INDEX child_of ON child (parent, id);

CREATE TABLE awaited (                  -- steps that wait for children
    message     INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    left_over   INTEGER NOT NULL,       -- children that have not ended
    PRIMARY KEY (message, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE awaits (                   -- by whom a child that has not ended is awaited
    child       INTEGER NOT NULL,
    parent      INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    PRIMARY KEY (child, parent, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE grp (                      -- messages put together
    id          INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL,
    name        TEXT NOT NULL,
    open        INTEGER NOT NULL,       -- more will follow
    total       INTEGER NOT NULL,
    done        INTEGER NOT NULL,
    dead        INTEGER NOT NULL,
    cancelled   INTEGER NOT NULL,
    next        INTEGER,                -- the message that waits for all of them
    created_at  REAL NOT NULL,
    ended_at    REAL
) STRICT;

CREATE TABLE member (                   -- in the order of putting
    grp         INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    PRIMARY KEY (grp, id)
) STRICT, WITHOUT ROWID;
