-- name: memory_read
SELECT value FROM memory WHERE tenant = ? AND space = ? AND key = ?;

-- name: memory_write
INSERT INTO memory (tenant, space, key, value) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, space, key) DO UPDATE SET value = excluded.value;

-- name: memory_drop
DELETE FROM memory WHERE tenant = ? AND space = ? AND key = ?;

-- name: memory_clear
DELETE FROM memory WHERE tenant = ? AND space = ?;

-- name: memory_stats
-- The length of a blob is read from its row's head, not from its pages.
SELECT count(*), ifnull(sum(length(value)), 0) FROM memory WHERE tenant = ? AND space = ?;
