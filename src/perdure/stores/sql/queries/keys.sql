-- name: key_add
INSERT INTO api_key (digest, id, card) VALUES (?, ?, ?);

-- name: key_find
SELECT card FROM api_key WHERE digest = ?;

-- name: key_by_id
SELECT card FROM api_key WHERE id = ?;

-- name: key_set
UPDATE api_key SET card = ? WHERE id = ?;

-- name: key_list
SELECT card FROM api_key ORDER BY n DESC;
