-- Messages that are put by a calendar. A schedule's `next_at` is the lock of its firing: whoever moves it on puts the message.

CREATE TABLE schedule (
    tenant      TEXT NOT NULL,
    name        TEXT NOT NULL,
    card        BLOB NOT NULL,          -- what is put, and when
    paused      INTEGER NOT NULL,
    next_at     REAL,                   -- NULL while paused
    last_at     REAL,
    last_id     INTEGER,
    fired       INTEGER NOT NULL,
    passed_over INTEGER NOT NULL,
    created_at  REAL NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_due ON schedule (next_at);
