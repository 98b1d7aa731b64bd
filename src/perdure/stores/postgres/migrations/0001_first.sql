-- The first shape of a store: the tables that SQLite has, in PostgreSQL's types.
--
-- Theory of operation. A message never changes and what became of it is only ever added; where it lies now
-- is told by which one of `ready`, `later`, `waiting`, `lease` and `outcome` has its row, and that row is the
-- lock: whoever deletes it moves the message. What differs from SQLite is what many writers at once make
-- necessary. Numbers come from sequences, so that nobody waits for a row that all want. A change's number is
-- its transaction's (`change_seq()`) and its place in it: readers who stop below the oldest transaction still
-- open miss nothing. Kept counts are a fold over `change` up to `folded`; whoever reads them adds the rows
-- behind, so they are exact, and no row is fought for. Text is compared by its bytes, as everywhere in
-- Perdure. Moments are seconds since 1970 in UTC, small structures are JSON, switches are 0 and 1. There are
-- no foreign keys: rows go where their message goes, in the same transaction.

CREATE TABLE origin (                   -- one row
    one         smallint PRIMARY KEY CHECK (one = 1),
    base        bigint NOT NULL,        -- added to transaction numbers: a restored database counts them anew
    all_paused  smallint NOT NULL       -- the big switch
);
INSERT INTO origin VALUES (1, 0, 0);

CREATE SEQUENCE number MINVALUE 0;      -- ids, tags and fencing tokens; it begins at the time, so that ids sort beside others'
SELECT setval('number', (extract(epoch FROM clock_timestamp()) * 1000)::bigint << 20);
CREATE SEQUENCE worker_number;
CREATE SEQUENCE taken MINVALUE 0;       -- messages ever leased: each 16th is the one put earliest
SELECT setval('taken', 0);

CREATE FUNCTION change_seq() RETURNS bigint LANGUAGE sql STABLE AS
    'SELECT (pg_current_xact_id()::text::bigint + (SELECT base FROM origin)) << 20';

-- Below it no change can appear any more to a statement that begins after this one: all transactions of ours
-- with a lower number have ended. Those of others never write here, and do not count however long they last.
-- `perdure.horizon` may say to do without `pg_stat_activity` (`snapshot`), or that changes are numbered in the
-- order of their commits (`none`).
CREATE FUNCTION change_reach() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    how     text := coalesce(current_setting('perdure.horizon', true), '');
    newest  bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    oldest  bigint;
BEGIN
    IF how = 'none' THEN
        RETURN 9223372036854775807;
    END IF;
    IF how = 'snapshot' THEN
        oldest := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    ELSE
        -- Half of a transaction's number is told; what it lacks is that of the newest, or one less.
        SELECT min(CASE WHEN whole > newest + 2147483648 THEN whole - 4294967296 ELSE whole END) INTO oldest
          FROM (SELECT newest & ~4294967295::bigint | session.backend_xid::text::bigint AS whole
                  FROM pg_stat_get_activity(NULL) AS session
                 WHERE session.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
                   AND session.backend_xid IS NOT NULL
                   AND starts_with(session.application_name, 'perdure ' || current_schema())) AS running;
    END IF;
    RETURN (least(newest, oldest) + (SELECT base FROM origin)) << 20;
END $$;

-- The same for whoever sees the store as of one moment, the running statement too. That a transaction of that
-- moment is somebody else's is known while it runs, so one that has ended since counts as ours.
CREATE FUNCTION change_horizon() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    how     text := coalesce(current_setting('perdure.horizon', true), '');
    seen    pg_snapshot := pg_current_snapshot();
    newest  bigint := pg_snapshot_xmax(seen)::text::bigint;
    oldest  bigint := pg_snapshot_xmin(seen)::text::bigint;
BEGIN
    IF how = 'none' THEN
        RETURN 9223372036854775807;
    END IF;
    IF how <> 'snapshot' AND oldest < newest THEN
        SELECT coalesce(min(running.xid), newest) INTO oldest
          FROM (SELECT one::text::bigint AS xid FROM pg_snapshot_xip(seen) AS one) AS running
         WHERE NOT EXISTS (
                   SELECT FROM pg_stat_get_activity(NULL) AS session
                    WHERE session.backend_xid::text::bigint = running.xid & 4294967295
                      AND (session.datid <> (SELECT oid FROM pg_database WHERE datname = current_database())
                           OR NOT starts_with(session.application_name, 'perdure ' || current_schema())))
           AND NOT EXISTS (SELECT FROM pg_prepared_xacts AS prepared WHERE prepared.transaction::text::bigint = running.xid & 4294967295);
    END IF;
    RETURN (oldest + (SELECT base FROM origin)) << 20;
END $$;

CREATE TABLE mark (                     -- left by a transaction, so that one whose answer was lost can be asked for
    at          double precision NOT NULL,
    nonce       bigint NOT NULL,
    PRIMARY KEY (at, nonce)
) WITH (vacuum_truncate = off);

CREATE TABLE tenant (
    id          bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    name        text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE route (                    -- what a kind of message needs of a worker
    id          bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    queue       text COLLATE "C" NOT NULL,
    agent       text COLLATE "C" NOT NULL,
    version     text COLLATE "C",       -- the code version its messages insist on
    lane        text COLLATE "C",       -- provider/model
    quarantine  smallint NOT NULL,
    patience_s  double precision NOT NULL,  -- the shortest max_wait_s of any message ever put on it
    blocked_since double precision,     -- since when nothing of it can start, as `tend` noticed
    sweep_at    double precision,       -- while blocked: when to look through it for who waited too long
    swept       bigint NOT NULL DEFAULT 0,  -- how far that look has come
    sweep_next  double precision        -- the earliest moment found on the way at which somebody gives up
) WITH (fillfactor = 70);
-- NULL is a value here (no version, no lane), and two processes must not make the same route twice.
CREATE UNIQUE INDEX route_of ON route (agent, queue, (version IS NULL), coalesce(version, ''), (lane IS NULL), coalesce(lane, ''), quarantine);

CREATE TABLE message (
    id          bigint PRIMARY KEY,
    tenant      bigint NOT NULL,
    route       bigint NOT NULL,
    created_at  double precision NOT NULL,
    timeout_s   double precision,
    deadline    double precision,
    max_wait_s  double precision NOT NULL,
    parent      bigint,
    priority    integer NOT NULL,
    attempts    integer NOT NULL,
    session     text COLLATE "C",
    dedup_key   text COLLATE "C",
    metadata    bytea,
    body        bytea NOT NULL
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

CREATE TABLE dedup (
    tenant      bigint NOT NULL,
    key         text COLLATE "C" NOT NULL,
    id          bigint NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE TABLE progress (                 -- only for messages that were leased and came back, or were revived
    id          bigint PRIMARY KEY,
    started_at  double precision,
    waiting_since double precision,
    used        integer NOT NULL DEFAULT 0,     -- attempts
    crashes     integer NOT NULL DEFAULT 0,     -- since the journal last gained a result
    results     integer NOT NULL DEFAULT 0,     -- in the journal at the last crash
    revived     integer NOT NULL DEFAULT 0,
    usage       bytea
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- May run now; the primary key is the order of leasing. Rows come and go as fast as messages do: what is
-- left of the dead ones is cleared away early and at full speed, and the file never cut (that takes a lock).
CREATE TABLE ready (
    route       bigint NOT NULL,
    priority    integer NOT NULL,
    tag         bigint NOT NULL,
    id          bigint NOT NULL,
    tenant      bigint NOT NULL,
    since       double precision NOT NULL,
    PRIMARY KEY (route, priority, tag, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.1, vacuum_truncate = off);
CREATE INDEX ready_by_route ON ready (route, id);
CREATE INDEX ready_by_tenant ON ready (tenant, route, id);

CREATE TABLE later (                    -- waits for a moment
    id          bigint PRIMARY KEY,
    route       bigint NOT NULL,
    tenant      bigint NOT NULL,
    at          double precision NOT NULL,
    wait        bytea                   -- NULL: nothing but the delay it was put with
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX later_due ON later (at, id);
CREATE INDEX later_by_route ON later (route, id);
CREATE INDEX later_by_tenant ON later (tenant, route, id);

CREATE TABLE waiting (                  -- waits for an event or a person
    id          bigint PRIMARY KEY,
    route       bigint NOT NULL,
    tenant      bigint NOT NULL,
    wait        bytea NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX waiting_by_route ON waiting (route, id);
CREATE INDEX waiting_by_tenant ON waiting (tenant, route, id);

CREATE TABLE lease (                    -- never more rows than all workers have slots: no indexes
    id          bigint PRIMARY KEY,
    token       bigint NOT NULL,
    worker      bigint NOT NULL,
    route       bigint NOT NULL,
    tenant      bigint NOT NULL,
    leased_at   double precision NOT NULL,
    started_at  double precision NOT NULL,
    attempt     integer NOT NULL,
    crashes     integer NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);

CREATE TABLE outcome (                  -- how it ended; only reviving takes one away
    id          bigint PRIMARY KEY,
    route       bigint NOT NULL,
    tenant      bigint NOT NULL,
    started_at  double precision,
    ended_at    double precision NOT NULL,
    used        integer NOT NULL,
    state       text COLLATE "C" NOT NULL,
    code        text COLLATE "C",
    code_version text COLLATE "C",
    usage       bytea,
    error       bytea,
    result      bytea
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX outcome_by_route ON outcome (state, route, id);
CREATE INDEX outcome_by_tenant ON outcome (state, tenant, route, id);
CREATE INDEX dead_by_code ON outcome (code, route, id) WHERE state = 'dead';
CREATE INDEX dead_by_tenant ON outcome (code, tenant, route, id) WHERE state = 'dead';

CREATE TABLE attempt (                  -- what went wrong, one row each time
    n_th        bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    message     bigint NOT NULL,
    at          double precision NOT NULL,
    worker      bigint,
    n           integer NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    error       bytea NOT NULL
);
CREATE INDEX attempt_of ON attempt (message);

CREATE TABLE expiry (                   -- when to look at a message: its deadline, or the end of its patience
    kind        text COLLATE "C" NOT NULL,
    at          double precision NOT NULL,
    id          bigint NOT NULL,
    PRIMARY KEY (kind, at, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);

-- One row for each move, for whoever watches, and for the kept counts; kept for a day.
CREATE TABLE change (
    seq         bigint PRIMARY KEY,     -- change_seq() + 1, + 2, …
    id          bigint,                 -- NULL: nothing moved, it only adds to a total
    route       bigint NOT NULL,        -- one of the queue that it counts in
    at          double precision NOT NULL,
    was         text COLLATE "C",       -- the state it came from; NULL: it came into being
    state       text COLLATE "C",       -- the state it is in
    total       text COLLATE "C"        -- which of its queue's totals grows by one
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off);

CREATE TABLE folded (                   -- one row: up to which change `tally` counts
    one         smallint PRIMARY KEY CHECK (one = 1),
    seq         bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO folded VALUES (1, 0);

CREATE TABLE tally (                    -- kept, never counted: messages by queue and state, and totals
    queue       text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL,  -- now: in that state; ever: since the store began
    name        text COLLATE "C" NOT NULL,
    n           bigint NOT NULL,
    PRIMARY KEY (queue, kind, name)
) WITH (fillfactor = 50);

CREATE TABLE counter (                  -- the same for the whole installation
    name        text COLLATE "C" PRIMARY KEY,
    n           bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE counting (                 -- what is to be added to `counter`; taken away when it has been
    name        text COLLATE "C" NOT NULL,
    n           bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);

CREATE TABLE queue (
    name        text COLLATE "C" PRIMARY KEY,
    paused      smallint NOT NULL
);

CREATE TABLE lane (
    name        text COLLATE "C" PRIMARY KEY,
    closed_until double precision NOT NULL,
    why         text COLLATE "C" NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE step (
    id          bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    message     bigint NOT NULL,
    began_at    double precision NOT NULL,
    ended_at    double precision,
    until       double precision,
    number      integer NOT NULL,
    n           integer NOT NULL,
    attempt     integer NOT NULL,
    tries       integer NOT NULL,
    ambiguous   integer NOT NULL,
    idempotent  smallint NOT NULL,
    diverged    smallint NOT NULL,
    scope       text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    state       text COLLATE "C" NOT NULL,
    tool_version text COLLATE "C",
    handle      text COLLATE "C",
    decided_by  text COLLATE "C",
    usage       bytea,
    error       bytea,
    result      bytea
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);  -- room, so that recording the result touches no index
CREATE UNIQUE INDEX step_of ON step (message, number);

CREATE TABLE request (                  -- apart from `step`, so that recording a result does not write it again
    step        bigint PRIMARY KEY,
    data        bytea NOT NULL
);

CREATE TABLE memory (
    tenant      text COLLATE "C" NOT NULL,
    space       text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    value       bytea NOT NULL,
    PRIMARY KEY (tenant, space, key)
);

CREATE TABLE worker (
    id          bigint PRIMARY KEY,
    started_at  double precision NOT NULL,
    beat_at     double precision NOT NULL,
    ended_at    double precision,       -- NULL while it lives
    epoch       integer NOT NULL,       -- goes up when it is declared dead or bows out
    quarantine  smallint NOT NULL,
    queues      bytea,                  -- NULL: all
    card        bytea NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX worker_alive ON worker (id) WHERE ended_at IS NULL;

CREATE TABLE worker_lock (              -- workers that hold an advisory lock while they live
    worker      bigint PRIMARY KEY
);

CREATE TABLE worker_agent (             -- what living workers can do
    worker      bigint NOT NULL,
    agent       text COLLATE "C" NOT NULL,
    version     text COLLATE "C" NOT NULL,
    PRIMARY KEY (worker, agent)
);

CREATE TABLE agent (                    -- as registered last
    name        text COLLATE "C" PRIMARY KEY,
    card        bytea NOT NULL,
    registered_at double precision NOT NULL
);

CREATE TABLE api_key (
    n           bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    digest      bytea NOT NULL UNIQUE,
    id          text COLLATE "C" NOT NULL UNIQUE,
    card        bytea NOT NULL          -- all that is known of it, never the key itself
);
