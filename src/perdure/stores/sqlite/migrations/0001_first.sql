-- The first shape of a store.
--
-- Theory of operation. A message never changes and what became of it is only ever added; where it lies
-- now is told by which one of `ready`, `later`, `waiting`, `lease` and `outcome` has its row. Only these
-- narrow tables churn. What many messages share (queue, agent, version pin, lane) is said once, in
-- `route`; the tenant is a small number. Every table that can be listed has the same two indexes, by route
-- and by tenant and route, each in the order of ids: so any filter is a merge of a few index ranges and
-- costs what it returns. Moments are seconds since 1970 in UTC, small structures are JSON.

CREATE TABLE sequence (                 -- one row: numbers that only grow, and the big switch
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    last        INTEGER NOT NULL,       -- ids, tags and fencing tokens are drawn from it
    change      INTEGER NOT NULL,       -- the newest row of `change`
    taken       INTEGER NOT NULL,       -- messages ever leased: each 16th is the one put earliest
    worker      INTEGER NOT NULL,
    all_paused  INTEGER NOT NULL
) STRICT;
INSERT INTO sequence VALUES (1, 0, 0, 0, 0, 0);

CREATE TABLE tenant (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE route (                    -- what a kind of message needs of a worker
    id          INTEGER PRIMARY KEY,
    queue       TEXT NOT NULL,
    agent       TEXT NOT NULL,
    version     TEXT,                   -- the code version its messages insist on
    lane        TEXT,                   -- provider/model
    quarantine  INTEGER NOT NULL,
    patience_s  REAL NOT NULL,          -- the shortest max_wait_s of any message ever put on it
    blocked_since REAL,                 -- since when nothing of it can start, as `tend` noticed
    sweep_at    REAL,                   -- while blocked: when to look through it for who waited too long
    swept       INTEGER NOT NULL DEFAULT 0,  -- how far that look has come
    sweep_next  REAL                    -- the earliest moment found on the way at which somebody gives up
) STRICT;
CREATE INDEX route_of ON route (agent, queue);

CREATE TABLE message (
    id          INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL,
    route       INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    created_at  REAL NOT NULL,
    timeout_s   REAL,
    deadline    REAL,
    max_wait_s  REAL NOT NULL,
    session     TEXT,
    parent      INTEGER,
    dedup_key   TEXT,
    metadata    BLOB,
    body        BLOB NOT NULL           -- last, so that reading the others never touches its overflow pages
) STRICT;

CREATE TABLE dedup (
    tenant      INTEGER NOT NULL,
    key         TEXT NOT NULL,
    id          INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE progress (                 -- only for messages that were leased and came back, or were revived
    id          INTEGER PRIMARY KEY,
    used        INTEGER NOT NULL DEFAULT 0,     -- attempts
    crashes     INTEGER NOT NULL DEFAULT 0,     -- since the journal last gained a result
    results     INTEGER NOT NULL DEFAULT 0,     -- in the journal at the last crash
    revived     INTEGER NOT NULL DEFAULT 0,
    started_at  REAL,
    waiting_since REAL,
    usage       BLOB
) STRICT;

CREATE TABLE ready (                    -- may run now; the primary key is the order of leasing
    route       INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    tag         INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    tenant      INTEGER NOT NULL,
    since       REAL NOT NULL,
    PRIMARY KEY (route, priority, tag, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ready_by_route ON ready (route, id);
CREATE INDEX ready_by_tenant ON ready (tenant, route, id);

CREATE TABLE later (                    -- waits for a moment
    id          INTEGER PRIMARY KEY,
    route       INTEGER NOT NULL,
    tenant      INTEGER NOT NULL,
    at          REAL NOT NULL,
    wait        BLOB                    -- NULL: nothing but the delay it was put with
) STRICT;
CREATE INDEX later_due ON later (at);
CREATE INDEX later_by_route ON later (route, id);
CREATE INDEX later_by_tenant ON later (tenant, route, id);

CREATE TABLE waiting (                  -- waits for an event or a person
    id          INTEGER PRIMARY KEY,
    route       INTEGER NOT NULL,
    tenant      INTEGER NOT NULL,
    wait        BLOB NOT NULL
) STRICT;
CREATE INDEX waiting_by_route ON waiting (route, id);
CREATE INDEX waiting_by_tenant ON waiting (tenant, route, id);

CREATE TABLE lease (                    -- never more rows than all workers have slots: no indexes
    id          INTEGER PRIMARY KEY,
    token       INTEGER NOT NULL,
    worker      INTEGER NOT NULL,
    route       INTEGER NOT NULL,
    tenant      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    crashes     INTEGER NOT NULL,
    leased_at   REAL NOT NULL,
    started_at  REAL NOT NULL
) STRICT;

CREATE TABLE outcome (                  -- how it ended; only reviving takes one away
    id          INTEGER PRIMARY KEY,
    state       TEXT NOT NULL,
    route       INTEGER NOT NULL,
    tenant      INTEGER NOT NULL,
    code        TEXT,
    used        INTEGER NOT NULL,
    started_at  REAL,
    ended_at    REAL NOT NULL,
    code_version TEXT,
    usage       BLOB,
    error       BLOB,
    result      BLOB
) STRICT;
CREATE INDEX outcome_by_route ON outcome (state, route, id);
CREATE INDEX outcome_by_tenant ON outcome (state, tenant, route, id);
CREATE INDEX dead_by_code ON outcome (code, route, id) WHERE state = 'dead';
CREATE INDEX dead_by_tenant ON outcome (code, tenant, route, id) WHERE state = 'dead';

CREATE TABLE attempt (                  -- what went wrong, one row each time
    n_th        INTEGER PRIMARY KEY,
    message     INTEGER NOT NULL,
    n           INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    at          REAL NOT NULL,
    worker      INTEGER,
    error       BLOB NOT NULL
) STRICT;
CREATE INDEX attempt_of ON attempt (message);

CREATE TABLE expiry (                   -- when to look at a message: its deadline, or the end of its patience
    kind        TEXT NOT NULL,
    at          REAL NOT NULL,
    id          INTEGER NOT NULL,
    PRIMARY KEY (kind, at, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE change (                   -- one row for each move, for whoever watches; kept for a day
    seq         INTEGER PRIMARY KEY,
    id          INTEGER NOT NULL,
    state       TEXT NOT NULL,
    at          REAL NOT NULL
) STRICT;

CREATE TABLE tally (                    -- kept, never counted: messages by queue and state, and totals
    queue       TEXT NOT NULL,
    kind        TEXT NOT NULL,          -- now: in that state; ever: since the store began
    name        TEXT NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (queue, kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE counter (                  -- the same for the whole installation
    name        TEXT PRIMARY KEY,
    n           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE queue (
    name        TEXT PRIMARY KEY,
    paused      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lane (
    name        TEXT PRIMARY KEY,
    closed_until REAL NOT NULL,
    why         TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE step (
    id          INTEGER PRIMARY KEY,
    message     INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    scope       TEXT NOT NULL,
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    n           INTEGER NOT NULL,
    state       TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    tries       INTEGER NOT NULL,
    ambiguous   INTEGER NOT NULL,
    began_at    REAL NOT NULL,
    ended_at    REAL,
    until       REAL,
    idempotent  INTEGER NOT NULL,
    diverged    INTEGER NOT NULL,
    tool_version TEXT,
    handle      TEXT,
    decided_by  TEXT,
    usage       BLOB,
    error       BLOB,
    result      BLOB
) STRICT;
CREATE UNIQUE INDEX step_of ON step (message, number);

CREATE TABLE request (                  -- apart from `step`, so that recording a result does not write it again
    step        INTEGER PRIMARY KEY,
    data        BLOB NOT NULL
) STRICT;

CREATE TABLE memory (
    id          INTEGER PRIMARY KEY,
    tenant      TEXT NOT NULL,
    space       TEXT NOT NULL,
    key         TEXT NOT NULL,
    value       BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX memory_of ON memory (tenant, space, key);

CREATE TABLE worker (
    id          INTEGER PRIMARY KEY,
    epoch       INTEGER NOT NULL,       -- goes up when it is declared dead or bows out
    quarantine  INTEGER NOT NULL,
    queues      BLOB,                   -- NULL: all
    card        BLOB NOT NULL,
    started_at  REAL NOT NULL,
    beat_at     REAL NOT NULL,
    ended_at    REAL                    -- NULL while it lives
) STRICT;
CREATE INDEX worker_alive ON worker (id) WHERE ended_at IS NULL;

CREATE TABLE worker_agent (             -- what living workers can do
    worker      INTEGER NOT NULL,
    agent       TEXT NOT NULL,
    version     TEXT NOT NULL,
    PRIMARY KEY (worker, agent)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent (                    -- as registered last
    name        TEXT PRIMARY KEY,
    card        BLOB NOT NULL,
    registered_at REAL NOT NULL
) STRICT;

CREATE TABLE api_key (
    n           INTEGER PRIMARY KEY,
    digest      BLOB NOT NULL UNIQUE,
    id          TEXT NOT NULL UNIQUE,
    card        BLOB NOT NULL           -- all that is known of it, never the key itself
) STRICT;
