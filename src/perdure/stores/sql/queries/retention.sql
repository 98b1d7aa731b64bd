-- name: tidying_reached
SELECT reached FROM tidying WHERE kind = ?;

-- name: tidying_reach
UPDATE tidying SET reached = ?2 WHERE kind = ?1;

-- name: tidying_look
-- Whether there is anything to do, at the price of a few looks.
SELECT EXISTS (SELECT 1 FROM expiry WHERE kind = 'tidy-message' AND at <= ?1)
    OR EXISTS (SELECT 1 FROM expiry WHERE kind = 'tidy-journal' AND at <= ?1)
    OR coalesce((SELECT m.created_at <= ?2 FROM message m
                  WHERE m.id > (SELECT reached FROM tidying WHERE kind = 'message') ORDER BY m.id LIMIT 1), 0)
    OR coalesce((SELECT m.created_at <= ?3 FROM message m
                  WHERE m.id > (SELECT reached FROM tidying WHERE kind = 'journal') ORDER BY m.id LIMIT 1), 0)
    OR coalesce((SELECT at < ?4 FROM audit ORDER BY id LIMIT 1), 0)
    OR coalesce((SELECT at < ?5 FROM change ORDER BY seq LIMIT 1), 0)
    OR EXISTS (SELECT 1 FROM worker WHERE ended_at < ?6)
    OR EXISTS (SELECT 1 FROM kept_call WHERE at < ?7)
    OR EXISTS (SELECT 1 FROM kept_response WHERE at < ?8)
    OR EXISTS (SELECT 1 FROM batch WHERE open = 0 AND due_at < ?9);

-- name: tidying_walk
-- From where the walk has come to, in the order of putting.
SELECT m.id, m.created_at FROM message m WHERE m.id > ? ORDER BY m.id LIMIT ?;

-- name: tidying_facts
-- Of these messages: how and when they ended (NULL: they live), and whether who waits for them lives.
SELECT m.id, m.route, o.state, o.ended_at,
       CASE WHEN m.parent IS NULL THEN 0
            ELSE EXISTS (SELECT 1 FROM message p WHERE p.id = m.parent)
             AND NOT EXISTS (SELECT 1 FROM outcome e WHERE e.id = m.parent) END
       OR CASE WHEN m.grp IS NULL THEN 0
               ELSE EXISTS (SELECT 1 FROM grp g
                             WHERE g.id = m.grp
                               AND (g.ended_at IS NULL
                                    OR (EXISTS (SELECT 1 FROM message j WHERE j.id = g.next)
                                        AND NOT EXISTS (SELECT 1 FROM outcome f WHERE f.id = g.next)))) END
  FROM message m LEFT JOIN outcome o ON o.id = m.id
 WHERE m.id IN (SELECT value FROM json_each(?))
 ORDER BY m.id;

-- name: store_sizes
SELECT (SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM pragma_page_size()),
       (SELECT freelist_count FROM pragma_freelist_count()) * (SELECT page_size FROM pragma_page_size());
