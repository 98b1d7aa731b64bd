-- Batches: files of requests, each of them a message, and how far they have come.

CREATE TABLE batch (
    id            text COLLATE "C" PRIMARY KEY,
    tenant        text COLLATE "C" NOT NULL,
    created_at    double precision NOT NULL,
    open          integer NOT NULL,     -- 1 until it has ended
    due_at        double precision NOT NULL,     -- from when on somebody may take it; when it ended
    token         integer NOT NULL,     -- of whoever took it last
    cancelling_at double precision,              -- when it was called off
    record        bytea NOT NULL      -- all else, as JSON
);

CREATE INDEX batch_by_age ON batch (created_at, id);
CREATE INDEX batch_due ON batch (due_at) WHERE open = 1;
CREATE INDEX batch_ended ON batch (due_at) WHERE open = 0;
