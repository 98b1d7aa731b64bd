-- name: tend_look
-- Each look is at the first entry of an index; `route` has one that is its by nature.
SELECT EXISTS (SELECT 1 FROM later WHERE at <= ?1)
    OR EXISTS (SELECT 1 FROM waiting WHERE until <= ?1)
    OR EXISTS (SELECT 1 FROM expiry WHERE kind = 'deadline' AND at <= ?1)
    OR EXISTS (SELECT 1 FROM expiry WHERE kind = 'patience' AND at <= ?1)
    OR EXISTS (SELECT 1 FROM expiry WHERE kind = 'held' AND at <= ?1)
    OR EXISTS (SELECT 1 FROM cap WHERE swept IS NOT NULL OR at_once IS NULL)
    OR EXISTS (SELECT 1 FROM gate WHERE dirty = 1)
    OR EXISTS (SELECT 1 FROM chore WHERE at > 0 AND at <= ?1)
    OR EXISTS (SELECT 1 FROM route WHERE sweep_at <= ?1)
    OR EXISTS (SELECT 1 FROM route WHERE room_from IS NOT NULL);

-- name: later_next
SELECT min(at) FROM later;

-- name: later_due
SELECT at, id FROM later WHERE at <= ? ORDER BY at, id LIMIT ?;

-- name: expiry_due
SELECT at, id FROM expiry WHERE kind = ? AND at <= ? ORDER BY at, id LIMIT ?;

-- name: expiry_seen
DELETE FROM expiry WHERE kind = ? AND at = ? AND id = ?;

-- name: route_blocks
SELECT id, blocked_since FROM route;

-- name: route_block
-- NULL plus anything is NULL: a route that is open again is not looked through. Nothing is written where
-- another has noted the same meanwhile.
UPDATE route SET blocked_since = ?2, sweep_at = ?2 + patience_s, swept = 0, sweep_next = NULL,
       room_from = CASE WHEN quarantine = 0 AND ?2 IS NOT NULL THEN 0 END
 WHERE id = ?1 AND (blocked_since IS NULL) <> (?2 IS NULL);

-- name: sweep_due
SELECT id, blocked_since, patience_s, swept, sweep_next FROM route WHERE sweep_at <= ? ORDER BY id;

-- name: sweep_bite
SELECT y.id, y.since, m.max_wait_s
  FROM ready y JOIN message m ON m.id = y.id
 WHERE y.route = ? AND y.id > ?
 ORDER BY y.id
 LIMIT ?;

-- name: sweep_done
UPDATE route SET swept = ?2, sweep_next = ?3, sweep_at = ?4 WHERE id = ?1;
