-- Tidying, where PostgreSQL says it differently: two at a time, and truth that is no number.

-- name: tidying_reached
-- Locked: two who tidy at the same time would walk the same way.
SELECT reached FROM tidying WHERE kind = ? FOR UPDATE;

-- name: tidying_look
SELECT EXISTS (SELECT 1 FROM expiry WHERE kind = 'tidy-message' AND at <= ?1)
    OR EXISTS (SELECT 1 FROM expiry WHERE kind = 'tidy-journal' AND at <= ?1)
    OR coalesce((SELECT m.created_at <= ?2 FROM message m
                  WHERE m.id > (SELECT reached FROM tidying WHERE kind = 'message') ORDER BY m.id LIMIT 1), false)
    OR coalesce((SELECT m.created_at <= ?3 FROM message m
                  WHERE m.id > (SELECT reached FROM tidying WHERE kind = 'journal') ORDER BY m.id LIMIT 1), false)
    OR coalesce((SELECT at < ?4 FROM audit ORDER BY id LIMIT 1), false);

-- name: tidying_facts
SELECT m.id, m.route, o.state, o.ended_at,
       (m.parent IS NOT NULL
        AND EXISTS (SELECT 1 FROM message p WHERE p.id = m.parent)
        AND NOT EXISTS (SELECT 1 FROM outcome e WHERE e.id = m.parent)
        OR EXISTS (SELECT 1 FROM grp g
                    WHERE g.id = m.grp
                      AND (g.ended_at IS NULL
                           OR (EXISTS (SELECT 1 FROM message j WHERE j.id = g.next)
                               AND NOT EXISTS (SELECT 1 FROM outcome f WHERE f.id = g.next)))))::int
  FROM message m LEFT JOIN outcome o ON o.id = m.id
 WHERE m.id IN (SELECT value::bigint FROM json_array_elements_text(?::text::json) AS ids (value))
 ORDER BY m.id;

-- name: store_sizes
SELECT pg_database_size(current_database()), 0::bigint;
