-- name: know_route
-- By the expressions of the index, since a version and a lane may be NULL.
SELECT id, patience_s FROM route
 WHERE queue = $1 AND agent = $2
   AND (version IS NULL) = ($3::text IS NULL) AND coalesce(version, '') = coalesce($3, '')
   AND (lane IS NULL) = ($4::text IS NULL) AND coalesce(lane, '') = coalesce($4, '')
   AND quarantine = $5;

-- name: make_route
INSERT INTO route (queue, agent, version, lane, quarantine, patience_s) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING;

-- name: know_route_by_id
SELECT id, queue, agent, version, lane, quarantine FROM route WHERE id = ANY ($1::bigint[]);

-- name: lower_patience
-- A message that waits less long than any before it: look through the route earlier, if it is blocked.
UPDATE route SET patience_s = $2, sweep_at = least(sweep_at, $3 + $2) WHERE id = $1 AND patience_s > $2;

-- name: know_tenant
SELECT id FROM tenant WHERE name = $1;

-- name: make_tenant
INSERT INTO tenant (name) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: know_tenant_by_id
SELECT id, name FROM tenant WHERE id = ANY ($1::bigint[]);

-- name: route_marks
-- All that can change about routes: as long as this is the same, what was read of them before is true.
SELECT (SELECT max(id) FROM route),
       (SELECT all_paused FROM origin),
       (SELECT array_agg(name ORDER BY name) FROM queue WHERE paused = 1),
       (SELECT array_agg(name ORDER BY name) FROM lane),
       (SELECT array_agg(closed_until ORDER BY name) FROM lane),
       (SELECT array_agg(r.id ORDER BY r.id) FROM route r
         WHERE r.quarantine = 1 AND (SELECT true FROM ready y WHERE y.route = r.id ORDER BY y.id LIMIT 1));
