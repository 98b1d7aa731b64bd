-- name: forget_attempts
-- Ids come as one JSON list, so that a bite costs one statement for each table.
DELETE FROM attempt WHERE message IN (SELECT value FROM json_each(?));

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

-- name: forget_messages
DELETE FROM message WHERE id IN (SELECT value FROM json_each(?));
