-- name: batch_add
INSERT INTO batch (id, tenant, created_at, open, due_at, token, record) VALUES (?, ?, ?, 1, ?, 0, ?);

-- name: batch_get
SELECT record, created_at, cancelling_at, tenant FROM batch WHERE id = ?;

-- name: batch_list
SELECT record, created_at, cancelling_at, tenant FROM batch
 WHERE (tenant = ?1 OR ?1 IS NULL) AND (created_at, id) < (?2, ?3)
 ORDER BY created_at DESC, id DESC LIMIT ?4;

-- name: batch_cancel
UPDATE batch SET cancelling_at = ?2, due_at = ?2 WHERE id = ?1 AND open = 1 AND cancelling_at IS NULL;

-- name: batch_due
SELECT id FROM batch WHERE open = 1 AND due_at <= ? ORDER BY due_at, id LIMIT 1;

-- name: batch_take
UPDATE batch SET token = token + 1, due_at = ?2 WHERE id = ?1 RETURNING record, created_at, cancelling_at, tenant, token;

-- name: batch_keep
UPDATE batch SET record = ?3, open = ?4, due_at = ?5 WHERE id = ?1 AND token = ?2 AND open = 1 RETURNING record, created_at, cancelling_at, tenant;

-- name: batch_look
SELECT id FROM batch WHERE open = 1 AND due_at <= ? LIMIT 1;

-- name: batch_forget
DELETE FROM batch WHERE id IN (SELECT id FROM batch WHERE open = 0 AND due_at < ?1 ORDER BY due_at LIMIT ?2) RETURNING id;
