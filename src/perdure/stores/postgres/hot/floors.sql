-- name: pages_at_heads
-- What a look at these heads costs without floors, in pages: where dead rows lie before them, it reads all of those too.
-- The server counts, so neither a slow network nor a busy machine is taken for dead rows. Priority 10 is the order of putting.
EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)
SELECT (SELECT r.tag FROM ready r WHERE r.route = g.route AND r.priority = g.priority ORDER BY r.tag LIMIT 1)
  FROM unnest($1::bigint[], $2::integer[]) AS g (route, priority)
 WHERE g.priority < 10
 UNION ALL
SELECT (SELECT r.id FROM ready r WHERE r.route = g.route ORDER BY r.id LIMIT 1)
  FROM unnest($1::bigint[], $2::integer[]) AS g (route, priority)
 WHERE g.priority = 10;
