-- name: reserve
-- Ranges of tags for some lines of tenants, behind what each had before and not behind the clock; or, where the head of the
-- route lies behind the clock, not behind that. Where to look for the head is known from the time before. The commit waits
-- for no disk, which the statement says itself: saying it apart would be a round trip more.
WITH given AS MATERIALIZED (
    SELECT g.*, greatest(coalesce(c.tag, 0), g.own) AS now,
           (SELECT r.tag FROM ready r WHERE r.route = g.route AND r.priority = g.priority AND r.tag >= g.floor ORDER BY r.tag LIMIT 1) AS head
      FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[])
        AS g (route, tenant, priority, again, own, floor, cost)
      LEFT JOIN LATERAL (SELECT c.tag FROM clock c WHERE c.priority = g.priority OFFSET 0) c ON true
     WHERE (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL
), drawn AS (
    INSERT INTO fair (route, tenant, priority, again, last, cost)
    SELECT route, tenant, priority, again, least(now, coalesce(head - 1, now)) + cost, cost
      FROM given
     ORDER BY route, tenant, priority, again
    ON CONFLICT (route, tenant, priority, again) DO UPDATE
       SET last = greatest(fair.last, excluded.last - excluded.cost) + excluded.cost, cost = excluded.cost
    RETURNING route, tenant, priority, again, last
)
SELECT d.route, d.tenant, d.priority, d.again, d.last, least(g.now, coalesce(g.head - 1, g.now)) AS here
  FROM drawn d JOIN given g ON g.route = d.route AND g.tenant = d.tenant AND g.priority = d.priority AND g.again = d.again;

-- name: raise_clock
INSERT INTO clock (priority, tag)
SELECT g.priority, g.tag
  FROM unnest($1::integer[], $2::bigint[]) AS g (priority, tag)
 WHERE (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL
 ORDER BY g.priority
ON CONFLICT (priority) DO UPDATE SET tag = excluded.tag WHERE excluded.tag > clock.tag;

-- name: caps_now
SELECT (SELECT caps FROM origin), scope, name FROM cap WHERE at_once IS NOT NULL UNION ALL SELECT caps, NULL, NULL FROM origin;
