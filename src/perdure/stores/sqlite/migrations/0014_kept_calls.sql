-- Calls with a key of their caller's own, each made once; and what was answered, for whoever asks again.

CREATE TABLE kept_call (
    tenant      TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,          -- of all that was asked
    token       INTEGER NOT NULL,       -- how often it was begun
    until       REAL NOT NULL,          -- its maker counts as alive so long; 0 lets the next one begin
    unsure      INTEGER NOT NULL,       -- 1: it was begun, and may have been paid for
    at          REAL NOT NULL,          -- when it was begun or answered
    status      INTEGER,                -- NULL until it is answered
    media_type  TEXT,
    headers     TEXT,
    body        BLOB,
    PRIMARY KEY (tenant, key)
) STRICT;

CREATE INDEX kept_call_at ON kept_call (at);
