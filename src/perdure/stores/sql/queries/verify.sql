-- name: verify_places
-- Every statement here finds what cannot be; what it returns is an id, or something else to find it by.
SELECT m.id
  FROM message m
  LEFT JOIN (SELECT id FROM ready UNION ALL SELECT id FROM later UNION ALL SELECT id FROM waiting
             UNION ALL SELECT id FROM lease UNION ALL SELECT id FROM outcome) p ON p.id = m.id
 GROUP BY m.id HAVING count(p.id) <> 1
 LIMIT ?;

-- name: verify_strays
SELECT p.id
  FROM (SELECT id FROM ready UNION ALL SELECT id FROM later UNION ALL SELECT id FROM waiting
        UNION ALL SELECT id FROM lease UNION ALL SELECT id FROM outcome) p
 WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = p.id)
 LIMIT ?;

-- name: verify_routes
-- A place may be on the quarantine route of its message's own, but never on one of another agent or queue.
SELECT m.id
  FROM (SELECT id, route, tenant FROM ready UNION ALL SELECT id, route, tenant FROM later
        UNION ALL SELECT id, route, tenant FROM waiting UNION ALL SELECT id, route, tenant FROM lease
        UNION ALL SELECT id, route, tenant FROM outcome) p
  JOIN message m ON m.id = p.id
  LEFT JOIN route own ON own.id = m.route
  LEFT JOIN route here ON here.id = p.route
 WHERE p.tenant <> m.tenant OR own.id IS NULL OR here.id IS NULL OR here.queue <> own.queue OR here.agent <> own.agent
 LIMIT ?;

-- name: verify_priorities
SELECT m.id FROM ready y JOIN message m ON m.id = y.id WHERE y.priority <> m.priority LIMIT ?;

-- name: verify_tenants
SELECT m.id FROM message m WHERE NOT EXISTS (SELECT 1 FROM tenant t WHERE t.id = m.tenant) LIMIT ?;

-- name: verify_leases
SELECT l.id FROM lease l LEFT JOIN worker w ON w.id = l.worker WHERE w.id IS NULL OR w.ended_at IS NOT NULL LIMIT ?;

-- name: verify_dedup
SELECT d.id
  FROM dedup d LEFT JOIN message m ON m.id = d.id
 WHERE m.id IS NULL OR m.tenant <> d.tenant OR m.dedup_key IS NULL OR m.dedup_key <> d.key
 LIMIT ?;

-- name: verify_deadlines
-- Who is leased is entered again when it comes back.
SELECT m.id
  FROM message m
  JOIN (SELECT id FROM ready UNION ALL SELECT id FROM later UNION ALL SELECT id FROM waiting) p ON p.id = m.id
 WHERE m.deadline IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM expiry e WHERE e.kind = 'deadline' AND e.at = m.deadline AND e.id = m.id)
 LIMIT ?;

-- name: verify_steps
SELECT s.message FROM step s WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = s.message) LIMIT ?;

-- name: verify_requests
SELECT q.step FROM request q WHERE NOT EXISTS (SELECT 1 FROM step s WHERE s.id = q.step) LIMIT ?;

-- name: verify_logs
SELECT a.message FROM attempt a WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = a.message)
UNION ALL
SELECT p.id FROM progress p WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = p.id)
 LIMIT ?;

-- name: verify_edits
SELECT e.message FROM edit e WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = e.message) LIMIT ?;

-- name: verify_numbers
-- Whatever is drawn next must be larger than all that was drawn before.
SELECT n FROM (SELECT max(id) AS n FROM message UNION ALL SELECT max(tag) FROM ready UNION ALL SELECT max(token) FROM lease) drawn
 WHERE n > (SELECT last FROM sequence)
UNION ALL
SELECT seq FROM change WHERE seq > (SELECT change FROM sequence)
 LIMIT ?;

-- name: verify_counted
SELECT r.queue, p.state, count(*)
  FROM (SELECT route, 'ready' AS state FROM ready UNION ALL SELECT route, 'later' FROM later
        UNION ALL SELECT route, 'waiting' FROM waiting UNION ALL SELECT route, 'leased' FROM lease
        UNION ALL SELECT route, state FROM outcome) p
  JOIN route r ON r.id = p.route
 GROUP BY r.queue, p.state;
