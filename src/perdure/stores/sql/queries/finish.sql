-- name: attempt_add
INSERT INTO attempt (message, n, kind, at, worker, error) VALUES (?, ?, ?, ?, ?, ?);

-- name: attempt_list
SELECT n, kind, error, at, worker FROM attempt WHERE message = ? ORDER BY n_th;

-- name: step_again
-- Only a known failure is made again; an open intent is for rule 14 to decide.
UPDATE step SET state = 'again' WHERE message = ? AND number = ? AND state = 'failed';
