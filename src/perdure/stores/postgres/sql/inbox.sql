-- name: inbox_there
SELECT CASE WHEN EXISTS (SELECT 1 FROM inbox) THEN 1 ELSE 0 END;

-- name: inbox_holds
SELECT 1 FROM inbox WHERE id = ?;

-- name: inbox_alone
-- One mover at a time, so that a user's messages are put in the order of their ids, bite by bite.
SELECT CASE WHEN pg_try_advisory_xact_lock('inbox'::regclass::oid::int, 0) THEN 1 ELSE 0 END;

-- name: inbox_bite
-- A row that is locked belongs to a transaction that looks at its key just now; the next round has it.
DELETE FROM inbox WHERE id IN (SELECT id FROM inbox ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED) RETURNING id, message;

-- name: inbox_one
DELETE FROM inbox WHERE id = ? RETURNING id, message;
