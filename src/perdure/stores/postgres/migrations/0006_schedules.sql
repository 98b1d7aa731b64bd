-- Messages that are put by a calendar. A schedule's `next_at` is the lock of its firing: whoever moves it on puts the message.

CREATE TABLE schedule (
    tenant      text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    card        bytea NOT NULL,         -- what is put, and when
    paused      smallint NOT NULL,
    next_at     double precision,       -- NULL while paused
    last_at     double precision,
    last_id     bigint,
    fired       bigint NOT NULL,
    passed_over bigint NOT NULL,
    created_at  double precision NOT NULL,
    PRIMARY KEY (tenant, name)
);
CREATE INDEX schedule_due ON schedule (next_at);
