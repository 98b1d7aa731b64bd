-- name: response_add
INSERT OR IGNORE INTO kept_response (id, tenant, message, said, asked, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: response_get
SELECT tenant, message, said, asked FROM kept_response WHERE id = ?;

-- name: response_drop
DELETE FROM kept_response WHERE id = ?1 AND tenant = coalesce(?2, tenant) RETURNING id;

-- name: response_forget
DELETE FROM kept_response WHERE id IN (SELECT id FROM kept_response WHERE at < ?1 ORDER BY at LIMIT ?2) RETURNING id;
