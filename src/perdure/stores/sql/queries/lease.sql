-- name: ready_most_urgent
-- The primary key of `ready` is this order; rows are read one at a time, as far as they are taken.
SELECT priority, tag, id, route, gates FROM ready WHERE route = ? ORDER BY priority, tag, id;

-- name: ready_earliest
-- Against starvation: ids grow with the time of putting.
SELECT priority, tag, id, route, gates FROM ready WHERE route = ? ORDER BY id;

-- name: ready_routes
-- From the first row of each route straight to the next route: costs a look for each that holds messages,
-- however many there are, and nothing for those that hold none.
WITH RECURSIVE occupied (route) AS (
    SELECT min(route) FROM ready
    UNION ALL
    SELECT (SELECT min(route) FROM ready WHERE route > o.route) FROM occupied o WHERE o.route IS NOT NULL
)
SELECT route FROM occupied WHERE route IS NOT NULL;

-- name: ready_take
DELETE FROM ready WHERE route = ? AND priority = ? AND tag = ? AND id = ?;

-- name: messages_to_run
-- Many at once: a statement for each, with its outer join, costs several times as much.
SELECT m.id, m.route, m.tenant,
       m.priority, m.attempts, m.created_at, m.timeout_s, m.deadline, m.max_wait_s,
       m.session, b.on_dead, b.key, b.cost, m.parent, m.grp, m.dedup_key, m.metadata, m.body,
       ifnull(p.used, 0), ifnull(p.crashes, 0), p.started_at, p.waiting_since, p.id IS NOT NULL
  FROM message m LEFT JOIN progress p ON p.id = m.id LEFT JOIN bound b ON b.id = m.id
 WHERE m.id IN (SELECT value FROM json_each(?));

-- name: lease_add
INSERT INTO lease (id, token, worker, route, tenant, attempt, crashes, leased_at, started_at, gates)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: queue_paused
SELECT name FROM queue WHERE paused = 1;

-- name: lane_closed
SELECT name FROM lane WHERE closed_until > ?;
