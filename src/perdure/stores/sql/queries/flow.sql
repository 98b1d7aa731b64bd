-- name: clock_get
SELECT tag FROM clock WHERE priority = ?;

-- name: clock_set
INSERT INTO clock (priority, tag) VALUES (?, ?) ON CONFLICT (priority) DO UPDATE SET tag = excluded.tag;

-- name: ready_head_tag
SELECT tag FROM ready WHERE route = ? AND priority = ? ORDER BY tag LIMIT 1;

-- name: fair_get
SELECT n FROM kept WHERE what = 'fair' AND a = ? AND b = ? AND c = ? AND d = ?;

-- name: fair_bite
-- In the order of the key, a bite at a time: who has nothing there and lies behind the clock begins anew anyway.
SELECT k.a, k.b, k.c, k.d,
       k.n <= ifnull((SELECT tag FROM clock WHERE priority = k.c), 0)
       AND NOT EXISTS (SELECT 1 FROM ready WHERE route = k.a AND priority = k.c)
  FROM kept k
 WHERE k.what = 'fair' AND (k.a, k.b, k.c, k.d) > (?, ?, ?, ?)
 ORDER BY k.a, k.b, k.c, k.d
 LIMIT ?;

-- name: fair_drop
DELETE FROM kept WHERE what = 'fair' AND a = ? AND b = ? AND c = ? AND d = ?;

-- name: session_find
SELECT id, head, urgency FROM session WHERE tenant = ? AND name = ?;

-- name: session_add
INSERT INTO session (tenant, name, head, urgency) VALUES (?, ?, ?, ?);

-- name: session_set
UPDATE session SET head = ?2, urgency = ?3 WHERE id = ?1;

-- name: session_drop
DELETE FROM session WHERE id = ?;

-- name: session_next
SELECT id, due_at FROM held WHERE session = ? ORDER BY tag LIMIT 1;

-- name: session_most_urgent
SELECT min(priority) FROM held WHERE session = ?;

-- name: held_add
INSERT INTO held (id, route, tenant, priority, tag, since, gate, session, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: held_leave
DELETE FROM held WHERE id = ? RETURNING gate;

-- name: held_routes
-- From the first row of each route straight to the next route.
WITH RECURSIVE waiting_on (route) AS (
    SELECT min(route) FROM held WHERE gate = ?1
    UNION ALL
    SELECT (SELECT min(route) FROM held WHERE gate = ?1 AND route > w.route) FROM waiting_on w WHERE w.route IS NOT NULL
)
SELECT route FROM waiting_on WHERE route IS NOT NULL;

-- name: held_head
SELECT priority, tag, id FROM held WHERE gate = ? AND route = ? ORDER BY priority, tag, id LIMIT 1;

-- name: held_since
SELECT since FROM held WHERE id = ?;

-- name: held_set_gate
UPDATE held SET gate = ?2 WHERE id = ?1 RETURNING id;

-- name: held_set_priority
UPDATE held SET priority = ?2, tag = ?3 WHERE id = ?1;

-- name: held_occupied
SELECT 1 FROM held WHERE route = ? LIMIT 1;

-- name: route_blocked
SELECT blocked_since FROM route WHERE id = ?;

-- name: gate_of
SELECT id, cap, key, used, held, dirty FROM gate WHERE cap = ? AND key = ?;

-- name: gate_get
SELECT id, cap, key, used, held, dirty FROM gate WHERE id = ?;

-- name: gate_add
INSERT INTO gate (cap, key, used, held, dirty) VALUES (?, ?, 0, 0, 0) RETURNING id, cap, key, used, held, dirty;

-- name: gate_set
UPDATE gate SET used = ?2, held = ?3, dirty = ?4 WHERE id = ?1;

-- name: gate_drop
DELETE FROM gate WHERE id = ?;

-- name: gate_dirty
SELECT id FROM gate WHERE dirty = 1 ORDER BY id LIMIT ?;

-- name: gate_all
SELECT id FROM gate WHERE cap = ?;

-- name: gate_waited_for
-- The counts that hold somebody of a route: from the first row of each straight to the next.
WITH RECURSIVE waited_for (gate) AS (
    SELECT min(gate) FROM held WHERE gate IS NOT NULL
    UNION ALL
    SELECT (SELECT min(gate) FROM held WHERE gate > w.gate) FROM waited_for w WHERE w.gate IS NOT NULL
)
SELECT gate FROM waited_for w WHERE gate IS NOT NULL AND EXISTS (SELECT 1 FROM held WHERE gate = w.gate AND route = ?);

-- name: cap_list
SELECT id, scope, name, at_once, swept, settled_at FROM cap;

-- name: limits_unfinished
SELECT EXISTS (SELECT 1 FROM cap WHERE swept IS NOT NULL OR at_once IS NULL)
    OR EXISTS (SELECT 1 FROM gate WHERE dirty = 1)
    OR EXISTS (SELECT 1 FROM route WHERE room_from IS NOT NULL);

-- name: cap_get
SELECT id, scope, name, at_once, swept, settled_at FROM cap WHERE scope = ? AND name = ?;

-- name: cap_add
INSERT INTO cap (scope, name, at_once, swept, settled_at) VALUES (?, ?, ?, 0, 0) RETURNING id, scope, name, at_once, swept, settled_at;

-- name: cap_set
UPDATE cap SET at_once = ?2 WHERE id = ?1;

-- name: cap_swept
UPDATE cap SET swept = ?2, settled_at = ?3 WHERE id = ?1;

-- name: cap_drop
DELETE FROM cap WHERE id = ?;

-- name: cap_status
SELECT c.scope, c.name, c.at_once, ifnull(sum(g.used), 0), ifnull(sum(g.held), 0)
  FROM cap c LEFT JOIN gate g ON g.cap = c.id
 WHERE c.at_once IS NOT NULL
 GROUP BY c.id
 ORDER BY c.scope, c.name;

-- name: caps_changed
UPDATE sequence SET caps = caps + 1 WHERE one = 1 RETURNING caps;

-- name: sweep_leased
SELECT id, gates FROM lease ORDER BY id;

-- name: sweep_ready
SELECT id, route, gates FROM ready INDEXED BY ready_by_route WHERE route = ? AND id > ? ORDER BY id LIMIT ?;

-- name: sweep_ready_of
SELECT id, route, gates FROM ready INDEXED BY ready_by_tenant WHERE tenant = ? AND route = ? AND id > ? ORDER BY id LIMIT ?;

-- name: lease_set_gates
UPDATE lease SET gates = ?2 WHERE id = ?1 RETURNING id;

-- name: ready_set_gates
UPDATE ready INDEXED BY ready_by_route SET gates = ?3 WHERE route = ?1 AND id = ?2;

-- name: ready_place
SELECT priority, tag FROM ready INDEXED BY ready_by_route WHERE route = ? AND id = ?;

-- name: ready_limited
SELECT id, priority, tag, gates
  FROM ready INDEXED BY ready_limited
 WHERE gates IS NOT NULL AND route = ? AND id > ?
 ORDER BY id
 LIMIT ?;

-- name: room_wanted
SELECT id, blocked_since, room_from FROM route WHERE room_from IS NOT NULL ORDER BY id;

-- name: room_made
UPDATE route SET room_from = ?2 WHERE id = ?1;

-- name: gates_ready
SELECT gates FROM ready WHERE gates IS NOT NULL;

-- name: gates_leased
SELECT gates FROM lease WHERE gates IS NOT NULL;

-- name: gates_held
SELECT gate, count(*) FROM held WHERE gate IS NOT NULL GROUP BY gate;

-- name: gate_numbers
SELECT id, used, held FROM gate;

-- name: chore_due
-- Never begun is 0: the first who tends anything names the first moment.
SELECT name, at FROM chore WHERE at <= ?;

-- name: chore_begin
UPDATE chore SET at = ?2 WHERE name = ?1 AND at = 0;

-- name: chore_set
UPDATE chore SET at = ?2 WHERE name = ?1;
