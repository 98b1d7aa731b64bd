-- name: call_get
SELECT fingerprint, token, until, unsure, status, media_type, headers, body FROM kept_call WHERE tenant = ? AND key = ?;

-- name: call_add
-- Somebody else may add it at the same moment; whoever begins it, begins it below.
INSERT OR IGNORE INTO kept_call (tenant, key, fingerprint, token, until, unsure, at) VALUES (?1, ?2, ?3, 0, 0, 0, ?4);

-- name: call_begin
-- From now on nobody knows how it ends, unless somebody says so.
UPDATE kept_call SET token = ?3, until = ?4, unsure = 1, at = ?5 WHERE tenant = ?1 AND key = ?2;

-- name: call_renew
UPDATE kept_call SET until = ?4 WHERE tenant = ?1 AND key = ?2 AND token = ?3 AND status IS NULL AND until > 0 RETURNING token;

-- name: call_record
UPDATE kept_call SET status = ?3, media_type = ?4, headers = ?5, body = ?6, at = ?7 WHERE tenant = ?1 AND key = ?2;

-- name: call_free
-- The next to ask makes it, and knows that it may have been paid for.
UPDATE kept_call SET until = 0 WHERE tenant = ? AND key = ? AND token = ? AND status IS NULL;

-- name: call_drop
-- As if it had never been asked.
DELETE FROM kept_call WHERE tenant = ? AND key = ? AND token = ? AND status IS NULL;

-- name: call_forget
-- What has been kept long enough, answered or not.
DELETE FROM kept_call WHERE (tenant, key) IN (SELECT tenant, key FROM kept_call WHERE at < ?1 AND (status IS NOT NULL OR until < ?2) ORDER BY at LIMIT ?3)
RETURNING token;
