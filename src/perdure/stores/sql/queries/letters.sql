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

-- name: letters_dead
-- Those of a bite that are still dead, with their places and how far they had come, in one read.
SELECT m.id, m.route, m.tenant, m.priority, m.deadline, m.max_wait_s, m.parent, m.grp,
       m.session, ifnull(b.on_dead, 'continue'), b.key, ifnull(b.cost, 1),
       ifnull(p.results, 0), ifnull(p.revived, 0), o.started_at, o.usage
  FROM outcome o
  JOIN message m ON m.id = o.id
  LEFT JOIN bound b ON b.id = o.id
  LEFT JOIN progress p ON p.id = o.id
 WHERE o.id IN (SELECT value FROM json_each(?)) AND o.state = 'dead'
 ORDER BY o.id DESC;
