-- Batches: files of requests, each of them a message, and how far they have come.

CREATE TABLE batch (
    id            TEXT PRIMARY KEY,
    tenant        TEXT NOT NULL,
    created_at    REAL NOT NULL,
    open          INTEGER NOT NULL,     -- 1 until it has ended
    due_at        REAL NOT NULL,     -- from when on somebody may take it; when it ended
    token         INTEGER NOT NULL,     -- of whoever took it last
    cancelling_at REAL,              -- when it was called off
    record        BLOB NOT NULL      -- all else, as JSON
) STRICT;

CREATE INDEX batch_by_age ON batch (created_at, id);
CREATE INDEX batch_due ON batch (due_at) WHERE open = 1;
CREATE INDEX batch_ended ON batch (due_at) WHERE open = 0;
