-- name: forget_attempts
-- Ids come as one JSON list, so that a bite costs one statement for each table.
DELETE FROM attempt WHERE message IN (SELECT value FROM json_each(?));

-- name: forget_bounds
DELETE FROM bound WHERE id IN (SELECT value FROM json_each(?));

-- name: session_heads
SELECT head FROM session WHERE head IN (SELECT value FROM json_each(?));

-- name: forget_progress
DELETE FROM progress WHERE id IN (SELECT value FROM json_each(?));

-- name: forget_edits
DELETE FROM edit WHERE message IN (SELECT value FROM json_each(?));

-- name: forget_dedup
DELETE FROM dedup
 WHERE (tenant, key) IN (
    SELECT m.tenant, m.dedup_key FROM message m
     WHERE m.id IN (SELECT value FROM json_each(?)) AND m.dedup_key IS NOT NULL);

-- name: forget_outcomes
DELETE FROM outcome WHERE id IN (SELECT value FROM json_each(?));

-- name: forget_signals
DELETE FROM signal WHERE message IN (SELECT value FROM json_each(?));

-- name: forget_mail
DELETE FROM mail WHERE message IN (SELECT value FROM json_each(?));

-- name: forget_children
DELETE FROM child WHERE id IN (SELECT value FROM json_each(?));

-- name: forget_awaited
DELETE FROM awaited WHERE message IN (SELECT value FROM json_each(?));

-- name: forget_members
DELETE FROM member
 WHERE (grp, id) IN (SELECT m.grp, m.id FROM message m WHERE m.id IN (SELECT value FROM json_each(?)) AND m.grp IS NOT NULL);

-- name: forget_groups
-- With the last of its members; their messages go after this.
DELETE FROM grp
 WHERE id IN (SELECT m.grp FROM message m WHERE m.id IN (SELECT value FROM json_each(?)) AND m.grp IS NOT NULL)
   AND ended_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM member WHERE member.grp = grp.id);

-- name: forget_messages
DELETE FROM message WHERE id IN (SELECT value FROM json_each(?));
