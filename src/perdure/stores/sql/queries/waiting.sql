-- name: waiting_due
SELECT until, id FROM waiting WHERE until <= ? ORDER BY until, id LIMIT ?;

-- name: waiting_next
SELECT min(until) FROM waiting WHERE until IS NOT NULL;

-- name: signal_of_key
SELECT data FROM signal WHERE message = ? AND name = ? AND key = ?;

-- name: signal_add
INSERT INTO signal (message, name, key, at, data) VALUES (?, ?, ?, ?, ?);

-- name: signal_first
SELECT id, data FROM signal WHERE message = ? AND name = ? AND step IS NULL ORDER BY id LIMIT 1;

-- name: signal_take
UPDATE signal SET step = ? WHERE id = ?;

-- name: mail_touch
-- Both who parks and who signals write this row: of two at the same time, one sees what the other did.
INSERT INTO mail (message, sent, taken) VALUES (?, ?, ?)
ON CONFLICT (message) DO UPDATE SET sent = mail.sent + excluded.sent, taken = mail.taken + excluded.taken
RETURNING sent - taken;

-- name: child_add
INSERT INTO child (id, parent, depth) VALUES (?, ?, ?);

-- name: child_depth
SELECT depth FROM child WHERE id = ?;

-- name: child_touch
-- Written although nothing changes, by who begins to wait for a child and by the child's end: one sees the other.
UPDATE child SET depth = depth WHERE id = ? RETURNING parent;

-- name: child_list
SELECT id FROM child WHERE parent = ? ORDER BY id;

-- name: awaited_set
INSERT INTO awaited (message, step, left_over) VALUES (?, ?, ?)
ON CONFLICT (message, step) DO UPDATE SET left_over = excluded.left_over;

-- name: awaited_touch
-- As `mail_touch`, for who waits for children: written although nothing changes.
UPDATE awaited SET left_over = left_over - ? WHERE message = ? AND step = ? RETURNING left_over;

-- name: awaited_drop
DELETE FROM awaited WHERE message = ? AND step = ?;

-- name: awaits_add
INSERT INTO awaits (child, parent, step) VALUES (?, ?, ?) ON CONFLICT (child, parent, step) DO NOTHING;

-- name: awaits_drop
DELETE FROM awaits WHERE child = ? RETURNING parent, step;

-- name: lease_called_off
SELECT id FROM lease WHERE worker = ? AND called_off IS NOT NULL ORDER BY id;

-- name: lease_call_off
UPDATE lease SET called_off = ? WHERE id = ? AND called_off IS NULL RETURNING worker;

-- name: message_group
SELECT grp FROM message WHERE id = ?;

-- name: group_add
INSERT INTO grp (id, tenant, name, open, total, done, dead, cancelled, next, created_at) VALUES (?, ?, ?, ?, 0, 0, 0, 0, ?, ?);

-- name: group_get
SELECT id, tenant, name, open, total, done, dead, cancelled, next, created_at, ended_at FROM grp WHERE id = ?;

-- name: group_count
-- Of the group's own join nothing is counted.
UPDATE grp SET total = total + ?2, done = done + ?3, dead = dead + ?4, cancelled = cancelled + ?5
 WHERE id = ?1 AND (next IS NULL OR next <> ?6)
RETURNING open, total - done - dead - cancelled;

-- name: group_close
UPDATE grp SET open = 0 WHERE id = ?;

-- name: group_end
UPDATE grp SET ended_at = ? WHERE id = ? AND ended_at IS NULL RETURNING next;

-- name: member_add
INSERT INTO member (grp, id) VALUES (?, ?);

-- name: member_list
SELECT id FROM member WHERE grp = ? AND id > ? ORDER BY id LIMIT ?;

-- name: member_metadata
SELECT metadata FROM message WHERE id = ?;
