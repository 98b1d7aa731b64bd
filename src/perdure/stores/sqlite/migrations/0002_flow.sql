-- Whose turn it is: fair tags, sessions and limits.
--
-- Theory of operation. A tag says how far a message is from its turn (`messages/order.py`): `clock` has the
-- largest one leased of each priority, `fair` the last one of each tenant. `session` names the message at the
-- head of each line, and who is behind it lies in `held`, in the order of `tag`. `cap` has the limits that were
-- set, `gate` one count for each of them (for limits of scope `key`, for each key in use). What lies ready or
-- leased remembers in `gates` the ids of the counts it is in, so that it gives back what it took whatever has
-- become of the limits meanwhile. Messages without session and limit leave all this alone.

ALTER TABLE sequence ADD COLUMN caps INTEGER NOT NULL DEFAULT 0;    -- goes up whenever a limit changes

CREATE TABLE ready_now (                -- may run now; the primary key is the order of leasing
    route       INTEGER NOT NULL,
    priority    INTEGER NOT NULL,       -- the message's, or its session's most urgent
    tag         INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    tenant      INTEGER NOT NULL,
    since       REAL NOT NULL,
    gates       TEXT,                   -- the counts it is in, '3,17'; NULL for nearly all
    PRIMARY KEY (route, priority, tag, id)
) STRICT, WITHOUT ROWID;
INSERT INTO ready_now
SELECT route, priority, row_number() OVER (PARTITION BY priority ORDER BY tag, id), id, tenant, since, NULL FROM ready;
DROP TABLE ready;
ALTER TABLE ready_now RENAME TO ready;
CREATE INDEX ready_by_route ON ready (route, id);
CREATE INDEX ready_by_tenant ON ready (tenant, route, id);
CREATE INDEX ready_limited ON ready (route, id) WHERE gates IS NOT NULL;

ALTER TABLE lease ADD COLUMN gates TEXT;

CREATE TABLE clock (                    -- the largest tag leased in order, on whichever route
    priority    INTEGER PRIMARY KEY,
    tag         INTEGER NOT NULL
) STRICT;

CREATE TABLE fair (                     -- the last tag of a tenant; those behind the clock are swept away now and then
    route       INTEGER NOT NULL,
    tenant      INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    again       INTEGER NOT NULL,       -- 1 in the line of those that come back
    last        INTEGER NOT NULL,
    PRIMARY KEY (route, tenant, priority, again)
) STRICT, WITHOUT ROWID;
INSERT INTO fair SELECT route, tenant, priority, 0, max(tag) FROM ready GROUP BY route, tenant, priority;

CREATE TABLE bound (                    -- only for messages that say so: what binds them to others
    id          INTEGER PRIMARY KEY,
    on_dead     TEXT NOT NULL,
    key         TEXT,
    cost        INTEGER NOT NULL
) STRICT;

CREATE TABLE session (                  -- only while somebody is in its line
    id          INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL,
    name        TEXT NOT NULL,
    head        INTEGER NOT NULL,       -- whose turn it is, wherever that lies; also a dead letter that blocks
    urgency     INTEGER NOT NULL        -- the smallest priority in the line
) STRICT;
CREATE UNIQUE INDEX session_of ON session (tenant, name);
CREATE INDEX session_headed ON session (head);
CREATE INDEX message_by_session ON message (session, id) WHERE session IS NOT NULL;

CREATE TABLE cap (                      -- a limit
    id          INTEGER PRIMARY KEY,
    scope       TEXT NOT NULL,
    name        TEXT NOT NULL,
    at_once     INTEGER,                -- NULL: lifted; it goes when nothing is held under it any more
    swept       INTEGER,                -- how far the backlog it found has been looked through; NULL: all of it
    settled_at  REAL NOT NULL,          -- until then it is looked through again: somebody may not have known of it
    UNIQUE (scope, name)
) STRICT;

CREATE TABLE gate (                     -- one count
    id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: messages may still name one that has gone
    cap         INTEGER NOT NULL,
    key         TEXT NOT NULL,          -- '' but for limits of scope key
    used        INTEGER NOT NULL,       -- ready and leased
    held        INTEGER NOT NULL,
    dirty       INTEGER NOT NULL,       -- 1: may admit somebody; `tend` looks
    UNIQUE (cap, key)
) STRICT;
CREATE INDEX gate_dirty ON gate (id) WHERE dirty = 1;

CREATE TABLE held (                     -- waits for its turn in a session, or for a limit
    id          INTEGER PRIMARY KEY,
    route       INTEGER NOT NULL,       -- where it will lie ready
    tenant      INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    tag         INTEGER NOT NULL,       -- in a session: its place in the line
    since       REAL NOT NULL,
    gate        INTEGER,                -- one of these two is NULL
    session     INTEGER,
    due_at      REAL                    -- in a session: not before
) STRICT;
CREATE INDEX held_line ON held (gate, route, priority, tag, id) WHERE gate IS NOT NULL;
CREATE INDEX held_session ON held (session, tag) WHERE session IS NOT NULL;
CREATE INDEX held_urgency ON held (session, priority) WHERE session IS NOT NULL;
CREATE INDEX held_by_route ON held (route, id);
CREATE INDEX held_by_tenant ON held (tenant, route, id);

CREATE TABLE chore (                    -- what is done once in a while, by whoever comes first
    name        TEXT PRIMARY KEY,
    at          REAL NOT NULL           -- not before; 0: not yet begun
) STRICT, WITHOUT ROWID;
INSERT INTO chore VALUES ('fair', 0), ('gates', 0);
