-- Calls with a key of their caller's own, each made once; and what was answered, for whoever asks again.

CREATE TABLE kept_call (
    tenant      text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,             -- of all that was asked
    token       bigint NOT NULL,            -- how often it was begun
    until       double precision NOT NULL,  -- its maker counts as alive so long; 0 lets the next one begin
    unsure      integer NOT NULL,           -- 1: it was begun, and may have been paid for
    at          double precision NOT NULL,  -- when it was begun or answered
    status      integer,                    -- NULL until it is answered
    media_type  text,
    headers     text,
    body        bytea,
    PRIMARY KEY (tenant, key)
);

CREATE INDEX kept_call_at ON kept_call (at);
