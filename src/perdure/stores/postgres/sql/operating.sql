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
    OR coalesce((SELECT at < ?4 FROM audit ORDER BY id LIMIT 1), false)
    OR coalesce((SELECT at < ?5 FROM change WHERE seq <= (SELECT seq FROM folded) ORDER BY seq LIMIT 1), false)
    OR EXISTS (SELECT 1 FROM worker WHERE ended_at < ?6)
    OR EXISTS (SELECT 1 FROM kept_call WHERE at < ?7)
    OR EXISTS (SELECT 1 FROM kept_response WHERE at < ?8)
    OR EXISTS (SELECT 1 FROM batch WHERE open = 0 AND due_at < ?9);

-- name: tidying_facts
-- A look for each: OFFSET 0 keeps the planner from reading a whole table into a hash instead.
SELECT m.id, m.route, o.state, o.ended_at,
       (m.parent IS NOT NULL
        AND EXISTS (SELECT 1 FROM message p WHERE p.id = m.parent OFFSET 0)
        AND NOT EXISTS (SELECT 1 FROM outcome e WHERE e.id = m.parent OFFSET 0)
        OR EXISTS (SELECT 1 FROM grp g
                    WHERE g.id = m.grp
                      AND (g.ended_at IS NULL
                           OR (EXISTS (SELECT 1 FROM message j WHERE j.id = g.next OFFSET 0)
                               AND NOT EXISTS (SELECT 1 FROM outcome f WHERE f.id = g.next OFFSET 0)))))::int
  FROM json_array_elements_text(?::text::json) AS ids (value)
 CROSS JOIN LATERAL (SELECT * FROM message m WHERE m.id = ids.value::bigint OFFSET 0) m
  LEFT JOIN LATERAL (SELECT * FROM outcome o WHERE o.id = m.id OFFSET 0) o ON true
 ORDER BY m.id;

-- name: store_sizes
SELECT pg_database_size(current_database()), 0::bigint;

-- name: letters_dead
-- By a look for each, whatever the planner believes of these tables: told to sort, it would rather walk all that ever ended.
SELECT m.id, m.route, m.tenant, m.priority, m.deadline, m.max_wait_s, m.parent, m.grp,
       m.session, coalesce(b.on_dead, 'continue'), b.key, coalesce(b.cost, 1),
       coalesce(p.results, 0), coalesce(p.revived, 0), o.started_at, o.usage
  FROM json_array_elements_text(?::text::json) AS ids (value)
 CROSS JOIN LATERAL (SELECT * FROM outcome o WHERE o.id = ids.value::bigint AND o.state = 'dead' OFFSET 0) o
  JOIN message m ON m.id = o.id
  LEFT JOIN bound b ON b.id = o.id
  LEFT JOIN progress p ON p.id = o.id
 ORDER BY o.id DESC;

-- name: later_for_money
-- What is in `wait` is found as bytes.
UPDATE later SET at = ?1
 WHERE id IN (SELECT id FROM later
               WHERE at >= ?2 AND at <= ?3 AND position('"why":"budget-window"'::bytea IN wait) > 0
                 AND (?4 = '' OR tenant = (SELECT id FROM tenant WHERE name = ?4))
               ORDER BY id LIMIT ?5);
