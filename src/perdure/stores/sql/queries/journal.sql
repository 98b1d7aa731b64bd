-- name: step_find
SELECT id, state, usage FROM step WHERE message = ? AND number = ?;

-- name: step_before
-- What is known of it, now that it is made once more.
SELECT id, state, ended_at, lane, error, failed_tries FROM step WHERE message = ? AND number = ?;

-- name: step_add
INSERT INTO step (message, number, scope, kind, name, fingerprint, n, tries,
                  state, attempt, ambiguous, began_at, ended_at, until, idempotent, diverged, tool_version, result, lane)
VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING id;

-- name: step_begin
-- Made once more: what was used so far stays, so that a run's sum counts every try.
UPDATE step
   SET scope = ?2, kind = ?3, name = ?4, fingerprint = ?5, n = ?6,
       state = ?7, attempt = ?8, ambiguous = ambiguous + ?9, began_at = ?10, ended_at = ?11, until = ?12,
       idempotent = ?13, diverged = max(diverged, ?14), tool_version = ?15, result = ?16,
       lane = ?17, failed_tries = ?18, tries = tries + 1, error = NULL, handle = NULL, decided_by = NULL
 WHERE id = ?1;

-- name: step_end
UPDATE step SET state = ?2, ended_at = ?3, usage = ?4, error = ?5, result = ?6 WHERE id = ?1;

-- name: step_served
UPDATE step SET lane = ?2 WHERE id = ?1;

-- name: step_decide
UPDATE step SET state = ?2, ended_at = ?3, result = ?4, error = CASE WHEN ?2 = 'done' THEN NULL ELSE error END, decided_by = ?5 WHERE id = ?1;

-- name: step_decided_by
UPDATE step SET decided_by = ?2 WHERE id = ?1;

-- name: step_list
SELECT s.number, s.scope, s.kind, s.name, s.fingerprint, s.n, s.state, s.attempt, s.tries, s.ambiguous,
       s.began_at, s.ended_at, s.until, s.idempotent, s.diverged, s.tool_version, s.handle, s.decided_by, s.format, s.origin,
       s.lane, s.failed_tries, s.usage, s.error, s.result, q.data
  FROM step s LEFT JOIN request q ON q.step = s.id
 WHERE s.message = ? AND s.number > ?
 ORDER BY s.number;

-- name: step_list_bare
-- All that a replay needs.
SELECT s.number, s.scope, s.kind, s.name, s.fingerprint, s.n, s.state, s.attempt, s.tries, s.ambiguous,
       s.began_at, s.ended_at, s.until, s.idempotent, s.diverged, s.tool_version, s.handle, s.decided_by, s.format, s.origin,
       s.lane, s.failed_tries, s.usage, s.error, s.result, NULL
  FROM step s
 WHERE s.message = ? AND s.number > ?
 ORDER BY s.number;

-- name: said_list
SELECT hash, before, data FROM said WHERE message = ?;

-- name: said_add
INSERT INTO said (message, hash, before, data) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: body_get
SELECT data FROM body WHERE hash = ?;

-- name: body_add
-- Written although it is there: whoever sweeps it away at this moment and whoever refers to it must meet.
INSERT INTO body (hash, size, used_at, data) VALUES (?, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET used_at = excluded.used_at;

-- name: body_use_add
INSERT INTO body_use (message, hash) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: step_usages
-- Of an LLM call that was made once more, the first may have been paid for as well. What was copied from
-- another run has been paid for there.
SELECT usage, CASE kind WHEN 'llm' THEN ambiguous ELSE 0 END
  FROM step
 WHERE message = ? AND origin IS NULL AND (usage IS NOT NULL OR (kind = 'llm' AND ambiguous > 0));

-- name: step_count_done
SELECT count(*) FROM step WHERE message = ? AND state = 'done';

-- name: requests_erase
DELETE FROM request WHERE step IN (SELECT id FROM step WHERE message IN (SELECT value FROM json_each(?)));

-- name: steps_erase
DELETE FROM step WHERE message IN (SELECT value FROM json_each(?));

-- name: said_erase
DELETE FROM said WHERE message IN (SELECT value FROM json_each(?));

-- name: body_uses
SELECT DISTINCT hash FROM body_use WHERE message IN (SELECT value FROM json_each(?)) ORDER BY hash;

-- name: body_uses_erase
DELETE FROM body_use WHERE message IN (SELECT value FROM json_each(?));

-- name: body_erase
DELETE FROM body WHERE hash = ? AND NOT EXISTS (SELECT 1 FROM body_use u WHERE u.hash = body.hash);

-- name: runs_erase
DELETE FROM run WHERE message IN (SELECT value FROM json_each(?));

-- name: request_set
INSERT OR REPLACE INTO request (step, data) VALUES (?, ?);

-- name: request_drop
DELETE FROM request WHERE step = ?;

-- name: step_handle
UPDATE step SET handle = ?2 WHERE id = ?1;

-- name: step_last
SELECT coalesce(max(number), 0) FROM step WHERE message = ?;

-- name: step_bring
INSERT INTO step (message, number, scope, kind, name, fingerprint, n, state, attempt, tries, ambiguous, began_at, ended_at, until,
                  idempotent, diverged, tool_version, decided_by, format, origin, lane, failed_tries, usage, error, result)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING id;

-- name: steps_take_over
-- Only what is known: an open intent, or a call that was to be made again, is no part of the fork.
INSERT INTO step (message, number, scope, kind, name, fingerprint, n, state, attempt, tries, ambiguous, began_at, ended_at, until,
                  idempotent, diverged, tool_version, decided_by, format, origin, lane, failed_tries, usage, error, result)
SELECT ?1, number, scope, kind, name, fingerprint, n, state, attempt, tries, ambiguous, began_at, ended_at, until,
       idempotent, diverged, tool_version, decided_by, format, coalesce(origin, message), lane, failed_tries, usage, error, result
  FROM step
 WHERE message = ?2 AND number < ?3 AND state IN ('done', 'failed');

-- name: requests_take_over
INSERT INTO request (step, data)
SELECT s.id, q.data
  FROM step s
  JOIN step o ON o.message = ?2 AND o.number = s.number
  JOIN request q ON q.step = o.id
 WHERE s.message = ?1 AND s.number < ?3;

-- name: said_take_over
-- All of it: which messages the steps taken over need is not written anywhere else.
INSERT INTO said (message, hash, before, data) SELECT ?1, hash, before, data FROM said WHERE message = ?2 AND ?3 > 1;

-- name: body_uses_take_over
INSERT INTO body_use (message, hash) SELECT ?1, hash FROM body_use WHERE message = ?2 AND ?3 > 1;

-- name: run_add
INSERT INTO run (message, origin, origin_step) VALUES (?, ?, ?);

-- name: run_get
SELECT replayed, origin, origin_step FROM run WHERE message = ?;

-- name: run_replayed
INSERT INTO run (message, replayed) VALUES (?, ?) ON CONFLICT (message) DO UPDATE SET replayed = excluded.replayed;
