-- name: verify_places
-- Every statement here finds what cannot be; what it returns is an id, or something else to find it by.
SELECT m.id
  FROM message m
  LEFT JOIN (SELECT id FROM ready UNION ALL SELECT id FROM later UNION ALL SELECT id FROM waiting
             UNION ALL SELECT id FROM held UNION ALL SELECT id FROM lease UNION ALL SELECT id FROM outcome) p ON p.id = m.id
 GROUP BY m.id HAVING count(p.id) <> 1
 LIMIT ?;

-- name: verify_strays
SELECT p.id
  FROM (SELECT id FROM ready UNION ALL SELECT id FROM later UNION ALL SELECT id FROM waiting
        UNION ALL SELECT id FROM held UNION ALL SELECT id FROM lease UNION ALL SELECT id FROM outcome) p
 WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = p.id)
 LIMIT ?;

-- name: verify_routes
-- A place may be on the quarantine route of its message's own, but never on one of another agent or queue.
SELECT m.id
  FROM (SELECT id, route, tenant FROM ready UNION ALL SELECT id, route, tenant FROM later
        UNION ALL SELECT id, route, tenant FROM waiting UNION ALL SELECT id, route, tenant FROM held
        UNION ALL SELECT id, route, tenant FROM lease
        UNION ALL SELECT id, route, tenant FROM outcome) p
  JOIN message m ON m.id = p.id
  LEFT JOIN route own ON own.id = m.route
  LEFT JOIN route here ON here.id = p.route
 WHERE p.tenant <> m.tenant OR own.id IS NULL OR here.id IS NULL OR here.queue <> own.queue OR here.agent <> own.agent
 LIMIT ?;

-- name: verify_priorities
-- In a session a message may be as urgent as others behind it.
SELECT m.id FROM ready y JOIN message m ON m.id = y.id
 WHERE y.priority <> m.priority AND (m.session IS NULL OR y.priority > m.priority)
 LIMIT ?;

-- name: verify_held
SELECT h.id FROM held h
 WHERE (h.gate IS NULL) = (h.session IS NULL)
    OR (h.gate IS NOT NULL AND NOT EXISTS (SELECT 1 FROM gate g WHERE g.id = h.gate))
    OR (h.session IS NOT NULL AND NOT EXISTS (SELECT 1 FROM session s WHERE s.id = h.session AND s.head <> h.id))
 LIMIT ?;

-- name: verify_lines
-- Whoever is at the head of a session has not ended, but for a dead letter that blocks.
SELECT s.head FROM session s LEFT JOIN message m ON m.id = s.head LEFT JOIN outcome o ON o.id = s.head
 WHERE m.id IS NULL OR m.session <> s.name OR m.tenant <> s.tenant OR o.state IN ('done', 'cancelled')
 LIMIT ?;

-- name: verify_sessions
-- Of a session nobody but its head is anywhere but in line.
SELECT m.id FROM message m LEFT JOIN session s ON s.tenant = m.tenant AND s.name = m.session
 WHERE m.session IS NOT NULL
   AND (s.id IS NULL OR s.head <> m.id)
   AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.id = m.id)
   AND NOT EXISTS (SELECT 1 FROM held h WHERE h.id = m.id)
 LIMIT ?;

-- name: verify_gates
SELECT g.id FROM gate g
 WHERE g.used <> (SELECT count(*) FROM ready y WHERE y.gates IS NOT NULL AND ',' || y.gates || ',' LIKE '%,' || g.id || ',%')
               + (SELECT count(*) FROM lease l WHERE l.gates IS NOT NULL AND ',' || l.gates || ',' LIKE '%,' || g.id || ',%')
    OR g.held <> (SELECT count(*) FROM held h WHERE h.gate = g.id)
 LIMIT ?;

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
  JOIN (SELECT id FROM ready UNION ALL SELECT id FROM later UNION ALL SELECT id FROM waiting UNION ALL SELECT id FROM held) p ON p.id = m.id
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
SELECT n FROM (SELECT max(tag) AS n FROM ready UNION ALL SELECT max(token) FROM lease) drawn
 WHERE n > (SELECT max(last, ifnull((SELECT max(id) FROM message), 0)) FROM sequence)
 LIMIT ?;

-- name: verify_counted
SELECT r.queue, p.state, count(*)
  FROM (SELECT route, 'ready' AS state FROM ready UNION ALL SELECT route, 'later' FROM later
        UNION ALL SELECT route, 'held' FROM held UNION ALL SELECT route, 'waiting' FROM waiting
        UNION ALL SELECT route, 'leased' FROM lease
        UNION ALL SELECT route, state FROM outcome) p
  JOIN route r ON r.id = p.route
 GROUP BY r.queue, p.state;
