-- name: route_find
-- IS, since a version and a lane may be NULL.
SELECT id FROM route WHERE agent = ?2 AND queue = ?1 AND version IS ?3 AND lane IS ?4 AND quarantine = ?5;

-- name: route_add
INSERT INTO route (queue, agent, version, lane, quarantine, patience_s) VALUES (?, ?, ?, ?, ?, ?) RETURNING id;

-- name: route_get
SELECT id, queue, agent, version, lane, quarantine FROM route WHERE id = ?;

-- name: route_lower_patience
-- A message that waits less long than any before it: look through the route earlier, if it is blocked.
UPDATE route SET patience_s = ?2, sweep_at = min(sweep_at, ?3 + ?2) WHERE id = ?1 AND patience_s > ?2;

-- name: tenant_find
SELECT id FROM tenant WHERE name = ?;

-- name: tenant_add
INSERT INTO tenant (name) VALUES (?) RETURNING id;

-- name: tenant_get
SELECT name FROM tenant WHERE id = ?;
