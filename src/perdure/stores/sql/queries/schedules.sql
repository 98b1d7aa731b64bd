-- name: schedule_add
INSERT INTO schedule (tenant, name, card, paused, next_at, last_at, last_id, fired, passed_over, created_at)
VALUES (?, ?, ?, 0, ?, NULL, NULL, 0, 0, ?);

-- name: schedule_get
SELECT card, paused, next_at, last_at, last_id, fired, passed_over, created_at FROM schedule WHERE tenant = ? AND name = ?;

-- name: schedule_list
SELECT card, paused, next_at, last_at, last_id, fired, passed_over, created_at FROM schedule ORDER BY name, tenant;

-- name: schedule_list_of
SELECT card, paused, next_at, last_at, last_id, fired, passed_over, created_at FROM schedule WHERE tenant = ? ORDER BY name;

-- name: schedule_replace
UPDATE schedule SET card = ?3, next_at = ?4 WHERE tenant = ?1 AND name = ?2;

-- name: schedule_switch
UPDATE schedule SET paused = ?3, next_at = ?4 WHERE tenant = ?1 AND name = ?2;

-- name: schedule_drop
DELETE FROM schedule WHERE tenant = ? AND name = ?;

-- name: schedule_next
SELECT min(next_at) FROM schedule;

-- name: schedule_due
SELECT tenant, name FROM schedule WHERE next_at <= ? ORDER BY next_at LIMIT ?;

-- name: schedule_move_on
-- Its old moment is the guard: who finds another there was too late, and puts nothing.
UPDATE schedule SET next_at = ?4 WHERE tenant = ?1 AND name = ?2 AND next_at = ?3 RETURNING name;

-- name: schedule_fired
UPDATE schedule SET last_at = ?3, last_id = ?4, fired = fired + ?5, passed_over = passed_over + ?6 WHERE tenant = ?1 AND name = ?2;
