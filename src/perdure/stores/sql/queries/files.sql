-- name: file_add
INSERT INTO kept_file (id, tenant, name, purpose, state, size, pieces, created_at, goes_at) VALUES (?, ?, ?, ?, 'open', 0, 0, ?, ?);

-- name: file_open
SELECT pieces FROM kept_file WHERE id = ? AND state = 'open';

-- name: file_grow
UPDATE kept_file SET size = size + ?2, pieces = pieces + 1, goes_at = ?3 WHERE id = ?1;

-- name: file_piece_add
INSERT INTO file_piece (file, number, data) VALUES (?, ?, ?);

-- name: file_finish
UPDATE kept_file SET state = 'kept', goes_at = ?2, purpose = ifnull(?3, purpose) WHERE id = ?1 AND state = 'open'
RETURNING id, tenant, name, purpose, size, pieces, created_at, goes_at;

-- name: file_give_up
UPDATE kept_file SET state = 'gone', goes_at = ?2 WHERE id = ?1 AND state = 'open';

-- name: file_get
SELECT id, tenant, name, purpose, size, pieces, created_at, goes_at FROM kept_file
 WHERE id = ?1 AND state = 'kept' AND (goes_at IS NULL OR goes_at > ?2);

-- name: file_delete
UPDATE kept_file SET state = 'gone', goes_at = ?2 WHERE id = ?1 AND state = 'kept' AND (goes_at IS NULL OR goes_at > ?2) RETURNING id;

-- name: file_list_down
SELECT id, tenant, name, purpose, size, pieces, created_at, goes_at FROM kept_file
 WHERE state = 'kept' AND (goes_at IS NULL OR goes_at > ?1) AND (tenant = ?2 OR ?2 IS NULL) AND (purpose = ?3 OR ?3 IS NULL)
   AND (created_at, id) < (?4, ?5)
 ORDER BY created_at DESC, id DESC LIMIT ?6;

-- name: file_list_up
SELECT id, tenant, name, purpose, size, pieces, created_at, goes_at FROM kept_file
 WHERE state = 'kept' AND (goes_at IS NULL OR goes_at > ?1) AND (tenant = ?2 OR ?2 IS NULL) AND (purpose = ?3 OR ?3 IS NULL)
   AND (created_at, id) > (?4, ?5)
 ORDER BY created_at, id LIMIT ?6;

-- name: file_read
SELECT data FROM file_piece WHERE file = ? AND number = ?;

-- name: file_due
SELECT id FROM kept_file WHERE goes_at <= ? ORDER BY goes_at LIMIT 1;

-- name: file_gone
-- Before the first bite: nobody may go on with a file that begins to lack pieces.
UPDATE kept_file SET state = 'gone' WHERE id = ?;

-- name: file_forget
DELETE FROM file_piece WHERE file = ?1 AND number IN (SELECT number FROM file_piece WHERE file = ?1 ORDER BY number LIMIT ?2) RETURNING number;

-- name: file_drop
DELETE FROM kept_file WHERE id = ?;
