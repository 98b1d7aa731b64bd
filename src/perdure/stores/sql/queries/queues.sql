-- name: all_paused
SELECT all_paused FROM sequence WHERE one = 1;

-- name: queue_set
INSERT INTO queue (name, paused) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET paused = excluded.paused;

-- name: queue_list
SELECT name, paused FROM queue;

-- name: lane_close
-- An account that needs a person closes a lane for long; a rate limit met meanwhile must not open it earlier.
INSERT INTO lane (name, closed_until, why) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET closed_until = excluded.closed_until, why = excluded.why
 WHERE excluded.closed_until > closed_until;

-- name: route_list
SELECT r.id, r.queue, r.agent, r.version, r.lane, r.quarantine, q.paused, l.closed_until, l.why
  FROM route r LEFT JOIN queue q ON q.name = r.queue LEFT JOIN lane l ON l.name = r.lane
 ORDER BY r.id;

-- name: route_newest
SELECT max(id) FROM route;

-- name: lane_list
SELECT name, closed_until FROM lane ORDER BY name;

-- name: route_now
SELECT r.id, r.queue, r.agent, r.version, r.lane, r.quarantine, q.paused, l.closed_until, l.why
  FROM route r LEFT JOIN queue q ON q.name = r.queue LEFT JOIN lane l ON l.name = r.lane
 WHERE r.id = ?;

-- name: route_ids
-- There are few routes; this is not worth an index.
SELECT id FROM route WHERE queue = ?;

-- name: route_occupied
SELECT 1 FROM ready WHERE route = ? LIMIT 1;

-- name: ready_oldest_since
SELECT since FROM ready WHERE route = ? AND priority = ? ORDER BY tag LIMIT 1;

-- name: ready_earliest_since
SELECT since FROM ready WHERE route = ? ORDER BY id LIMIT 1;

-- name: agent_able
-- Of the dead no rows are left in `worker_agent`.
SELECT a.agent, a.version, w.quarantine, w.queues FROM worker_agent a JOIN worker w ON w.id = a.worker WHERE w.ended_at IS NULL;

-- name: worker_is_alive
SELECT id FROM worker WHERE id = ? AND ended_at IS NULL;

-- name: pause_note
INSERT INTO pause (queue, at, who, why) VALUES (?, ?, ?, ?)
ON CONFLICT (queue) DO UPDATE SET at = excluded.at, who = excluded.who, why = excluded.why;

-- name: pause_lift
DELETE FROM pause WHERE queue = ?;

-- name: pause_list
SELECT queue, at, who, why FROM pause;
