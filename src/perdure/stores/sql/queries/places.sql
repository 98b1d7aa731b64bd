-- name: place_get
SELECT m.route, m.tenant, m.priority, m.deadline, m.max_wait_s, m.parent, m.grp,
       m.session, ifnull(b.on_dead, 'continue'), b.key, ifnull(b.cost, 1)
  FROM message m LEFT JOIN bound b ON b.id = m.id
 WHERE m.id = ?;

-- name: state_get
-- Six looks by primary key at most; who is in none of them lies ready.
SELECT coalesce(
    (SELECT state FROM outcome WHERE id = ?1),
    (SELECT 'leased' FROM lease WHERE id = ?1),
    (SELECT 'later' FROM later WHERE id = ?1),
    (SELECT 'waiting' FROM waiting WHERE id = ?1),
    (SELECT 'held' FROM held WHERE id = ?1),
    'ready');

-- name: progress_get
SELECT used, crashes, results, revived, started_at, waiting_since, usage FROM progress WHERE id = ?;

-- name: progress_set
INSERT OR REPLACE INTO progress (id, used, crashes, results, revived, started_at, waiting_since, usage)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: ready_add
INSERT INTO ready (route, priority, tag, id, tenant, since, gates) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: ready_leave
-- For whoever moves a message without having leased it. Left alone, the planner walks the whole route.
DELETE FROM ready INDEXED BY ready_by_route WHERE route = ? AND id = ? RETURNING gates;

-- name: ready_get
SELECT since, gates FROM ready INDEXED BY ready_by_route WHERE route = ? AND id = ?;

-- name: later_add
INSERT INTO later (id, route, tenant, at, wait) VALUES (?, ?, ?, ?, ?);

-- name: later_leave
DELETE FROM later WHERE id = ?;

-- name: waiting_add
INSERT INTO waiting (id, route, tenant, wait, until) VALUES (?, ?, ?, ?, ?);

-- name: waiting_leave
DELETE FROM waiting WHERE id = ?;

-- name: outcome_add
INSERT INTO outcome (id, state, route, tenant, code, used, started_at, ended_at, code_version, usage, error, result)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: outcome_leave
DELETE FROM outcome WHERE id = ? AND state = 'dead';

-- name: expiry_add
-- The same moment may be there already: a message comes back from a worker with its old deadline.
INSERT OR IGNORE INTO expiry (kind, at, id) VALUES (?, ?, ?);

-- name: lease_take_back
-- The token is the fence: of a lease that was taken away nothing matches.
DELETE FROM lease WHERE id = ? AND token = ? RETURNING route, tenant, attempt, crashes, started_at, called_off, gates;

-- name: lease_claim
-- Written, not only looked at: who calls the message off at this moment begins anew and then sees what is sent now.
UPDATE lease SET token = token WHERE id = ? AND token = ? RETURNING coalesce(called_off, 0);

-- name: lease_check
SELECT coalesce(called_off, 0) FROM lease WHERE id = ? AND token = ?;
