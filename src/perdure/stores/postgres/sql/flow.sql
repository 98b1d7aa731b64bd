-- name: caps_version
SELECT caps FROM origin;

-- name: caps_changed
UPDATE origin SET caps = caps + 1 RETURNING caps;

-- name: session_find
-- Written although nothing changes: whoever moves one of the line has the whole line for as long, and whoever began to
-- look at it before begins anew, and sees who has joined. A lock alone would not tell.
UPDATE session SET head = head WHERE tenant = ? AND name = ? RETURNING id, head, urgency;

-- name: gate_of
SELECT id, cap, key, used, held, dirty FROM gate WHERE cap = ? AND key = ? FOR UPDATE;

-- name: gate_get
SELECT id, cap, key, used, held, dirty FROM gate WHERE id = ? FOR UPDATE;

-- name: cap_get
SELECT id, scope, name, at_once, swept, settled_at FROM cap WHERE scope = ? AND name = ? FOR UPDATE;

-- name: cap_status
SELECT c.scope, c.name, c.at_once, coalesce(sum(g.used), 0)::bigint, coalesce(sum(g.held), 0)::bigint
  FROM cap c LEFT JOIN gate g ON g.cap = c.id
 WHERE c.at_once IS NOT NULL
 GROUP BY c.id
 ORDER BY c.scope, c.name;

-- name: sweep_ready
-- Who is just being leased or moved is passed by, and found the next time, if it lies ready again.
SELECT id, route, gates FROM ready WHERE route = ? AND id > ? ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED;

-- name: sweep_ready_of
SELECT id, route, gates FROM ready WHERE tenant = ? AND route = ? AND id > ? ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED;

-- name: sweep_leased
SELECT id, gates FROM lease ORDER BY id FOR UPDATE SKIP LOCKED;

-- name: ready_limited
SELECT id, priority, tag, gates FROM ready WHERE gates IS NOT NULL AND route = ? AND id > ? ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED;
