-- What PostgreSQL says differently from the common text, by the same names.

-- name: step_begin
UPDATE step
   SET scope = ?2, kind = ?3, name = ?4, fingerprint = ?5, n = ?6,
       state = ?7, attempt = ?8, ambiguous = ambiguous + ?9, began_at = ?10, ended_at = ?11, until = ?12,
       idempotent = ?13, diverged = greatest(diverged, ?14), tool_version = ?15, result = ?16,
       lane = ?17, failed_tries = ?18, tries = tries + 1, error = NULL, handle = NULL, decided_by = NULL
 WHERE id = ?1;

-- name: request_set
INSERT INTO request (step, data) VALUES (?, ?) ON CONFLICT (step) DO UPDATE SET data = excluded.data;

-- name: ready_most_urgent
-- In pages: behind the common parameter comes the key of the last row of the page before.
SELECT priority, tag, id, route, gates FROM ready WHERE route = ? AND (priority, tag, id) > (?, ?, ?) ORDER BY priority, tag, id;

-- name: ready_earliest
SELECT priority, tag, id, route, gates FROM ready WHERE route = ?1 AND id > ?4 AND ?2::bigint IS NOT NULL AND ?3::bigint IS NOT NULL ORDER BY id;

-- name: ledger_add
INSERT INTO spending (day, tenant, key, agent, lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
                      cost, held, saved_calls, saved)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: memory_stats
SELECT count(*), coalesce(sum(length(value)), 0)::bigint FROM memory WHERE tenant = ? AND space = ?;

-- name: route_find
-- As the unique index says it, so that it is used.
SELECT id
  FROM route
 WHERE agent = ?2 AND queue = ?1 AND quarantine = ?5
   AND (version IS NULL) = (?3::text IS NULL) AND coalesce(version, '') = coalesce(?3::text, '')
   AND (lane IS NULL) = (?4::text IS NULL) AND coalesce(lane, '') = coalesce(?4::text, '');

-- name: route_lower_patience
UPDATE route
   SET patience_s = ?2, sweep_at = CASE WHEN sweep_at IS NOT NULL THEN least(sweep_at, ?3 + ?2) END
 WHERE id = ?1 AND patience_s > ?2;

-- name: progress_set
INSERT INTO progress (id, used, crashes, results, revived, started_at, waiting_since, usage)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE
   SET used = excluded.used, crashes = excluded.crashes, results = excluded.results, revived = excluded.revived,
       started_at = excluded.started_at, waiting_since = excluded.waiting_since, usage = excluded.usage;

-- name: lease_check
-- Locked, or else it could be taken away between this look and the commit of what it allows.
SELECT coalesce(called_off, 0) FROM lease WHERE id = ? AND token = ? FOR SHARE;

-- name: worker_is_alive
-- Locked, or else a worker could be declared dead while it takes a message, which nobody would take back.
SELECT id FROM worker WHERE id = ? AND ended_at IS NULL FOR SHARE;

-- name: all_paused
SELECT all_paused FROM origin;

-- name: lane_close
INSERT INTO lane (name, closed_until, why) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET closed_until = excluded.closed_until, why = excluded.why
 WHERE excluded.closed_until > lane.closed_until;

-- name: worker_agent_add
INSERT INTO worker_agent (worker, agent, version) VALUES (?, ?, ?)
ON CONFLICT (worker, agent) DO UPDATE SET version = excluded.version;

-- name: route_add
INSERT INTO route (queue, agent, version, lane, quarantine, patience_s) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id;

-- name: tenant_add
INSERT INTO tenant (name) VALUES (?) ON CONFLICT DO NOTHING RETURNING id;

-- name: route_block
UPDATE route SET blocked_since = ?2, sweep_at = ?2 + patience_s, swept = 0, sweep_next = NULL,
       room_from = CASE WHEN quarantine = 0 AND ?2::double precision IS NOT NULL THEN 0 END
 WHERE id = ?1 AND (blocked_since IS NULL) <> (?2::double precision IS NULL);

-- name: call_get
-- Locked: of all who ask at once one begins it.
SELECT fingerprint, token, until, unsure, status, media_type, headers, body FROM kept_call WHERE tenant = ? AND key = ? FOR UPDATE;

-- name: book_get
-- Locked: one turn follows the other.
SELECT book FROM lane_book WHERE name = ? FOR UPDATE;

-- name: file_open
-- Locked: one piece follows the other.
SELECT pieces FROM kept_file WHERE id = ? AND state = 'open' FOR UPDATE;

-- name: batch_due
-- Locked: one of those who look gets it, the others the next.
SELECT id FROM batch WHERE open = 1 AND due_at <= ? ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED;
