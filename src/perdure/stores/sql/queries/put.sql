-- name: message_add
INSERT INTO message (id, tenant, route, priority, attempts, created_at, timeout_s, deadline, max_wait_s,
                     session, parent, grp, dedup_key, metadata, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: bound_add
INSERT INTO bound (id, on_dead, key, cost) VALUES (?, ?, ?, ?);

-- name: dedup_find
SELECT m.id, r.agent, m.body
  FROM dedup d JOIN message m ON m.id = d.id JOIN route r ON r.id = m.route
 WHERE d.tenant = ? AND d.key = ?;

-- name: dedup_add
INSERT INTO dedup (tenant, key, id) VALUES (?, ?, ?);
