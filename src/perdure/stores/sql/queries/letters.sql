-- name: letter_look
-- What a filter has to see of a dead letter that no index tells.
SELECT o.ended_at, o.error, m.body FROM outcome o JOIN message m ON m.id = o.id WHERE o.id = ? AND o.state = 'dead';

-- name: letter_edit
UPDATE message
   SET route = ?2, priority = ?3, attempts = ?4, timeout_s = ?5, deadline = ?6, max_wait_s = ?7, metadata = ?8, body = ?9
 WHERE id = ?1;

-- name: letter_reroute
UPDATE outcome SET route = ?2 WHERE id = ?1;

-- name: edit_add
INSERT INTO edit (message, at, who, was, body) VALUES (?, ?, ?, ?, ?);

-- name: edit_list
SELECT at, who, was, body FROM edit WHERE message = ? ORDER BY id;

-- name: edit_first_body
-- The body as it was put; nothing where it was never edited.
SELECT body FROM edit WHERE message = ? AND body IS NOT NULL ORDER BY id LIMIT 1;
