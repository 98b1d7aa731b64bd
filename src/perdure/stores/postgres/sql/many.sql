-- Many messages at once, inside a transaction. What is given is sorted by its caller.

-- name: known_many
-- What has to be known of messages to move them, and how far they have come. One whose route is not there is not among them.
SELECT m.id, m.route, m.tenant, m.priority, m.deadline, m.max_wait_s, m.parent, m.grp, m.session,
       coalesce(b.on_dead, 'continue'), b.key, coalesce(b.cost, 1),
       coalesce(p.used, 0), coalesce(p.crashes, 0), coalesce(p.results, 0), coalesce(p.revived, 0), p.started_at, p.waiting_since, p.usage
  FROM unnest(?1::bigint[]) AS g (id)
 CROSS JOIN LATERAL (SELECT * FROM message m WHERE m.id = g.id OFFSET 0) m
 CROSS JOIN LATERAL (SELECT 1 FROM route r WHERE r.id = m.route OFFSET 0) r
  LEFT JOIN LATERAL (SELECT * FROM bound b WHERE b.id = g.id OFFSET 0) b ON true
  LEFT JOIN LATERAL (SELECT * FROM progress p WHERE p.id = g.id OFFSET 0) p ON true;

-- name: results_many
SELECT message, count(*) FROM step WHERE message = ANY (?1::bigint[]) AND state = 'done' GROUP BY message;

-- name: leases_take_back
-- The token is the fence. Who was called off, or has slots to give back, is left to those who know what that means.
WITH found AS MATERIALIZED (
    SELECT l.ctid AS place
      FROM unnest(?1::bigint[], ?2::bigint[]) AS g (id, token)
     CROSS JOIN LATERAL (
        SELECT l.ctid FROM lease l WHERE l.id = g.id AND l.token = g.token AND l.called_off IS NULL AND l.gates IS NULL
        OFFSET 0) l
)
DELETE FROM lease l
 USING found f
 WHERE l.ctid = f.place
RETURNING l.id, l.token, l.route, l.tenant, l.attempt, l.crashes, l.started_at, l.called_off, l.gates;

-- name: ready_add_many
INSERT INTO ready (route, priority, tag, id, tenant, since)
SELECT g.route, g.priority, g.tag, g.id, g.tenant, ?1
  FROM unnest(?2::bigint[], ?3::integer[], ?4::bigint[], ?5::bigint[], ?6::bigint[]) AS g (route, priority, tag, id, tenant);

-- name: expiry_add_many
INSERT INTO expiry (kind, at, id)
SELECT 'deadline', g.at, g.id FROM unnest(?1::double precision[], ?2::bigint[]) AS g (at, id)
ON CONFLICT DO NOTHING;

-- name: progress_back_many
-- Of those that come back from a worker.
INSERT INTO progress (id, crashes, results, started_at)
SELECT g.id, g.crashes, g.results, g.started_at
  FROM unnest(?1::bigint[], ?2::integer[], ?3::integer[], ?4::double precision[]) AS g (id, crashes, results, started_at)
ON CONFLICT (id) DO UPDATE SET crashes = excluded.crashes, results = excluded.results, started_at = excluded.started_at;

-- name: attempt_add_many
INSERT INTO attempt (message, n, kind, at, worker, error)
SELECT g.message, g.n, 'crash', ?1, ?2, ?3 FROM unnest(?4::bigint[], ?5::integer[]) AS g (message, n);

-- name: due_later
-- Who is just being moved is passed by. In the order of the moments, behind the last that was seen.
SELECT at, id FROM later WHERE at <= ?1 AND (at, id) > (?2, ?3) ORDER BY at, id LIMIT ?4 FOR UPDATE SKIP LOCKED;

-- name: due_waiting
SELECT until, id FROM waiting WHERE until <= ?1 AND (until, id) > (?2, ?3) ORDER BY until, id LIMIT ?4 FOR UPDATE SKIP LOCKED;

-- name: due_still
SELECT 1 FROM later WHERE id = ?1 AND at <= ?2 UNION ALL SELECT 1 FROM waiting WHERE id = ?1 AND until <= ?2;

-- name: due_next
-- Begun behind what is due: what was due and has gone may still lie there, dead.
SELECT least((SELECT min(at) FROM later WHERE at > ?1), (SELECT min(until) FROM waiting WHERE until > ?1));

-- name: expiry_take
SELECT at, id FROM expiry WHERE kind = ?1 AND at <= ?2 AND (at, id) > (?3, ?4) ORDER BY at, id LIMIT ?5 FOR UPDATE SKIP LOCKED;

-- name: expiry_drop_many
DELETE FROM expiry e
 USING (SELECT x.ctid AS place
          FROM unnest(?2::double precision[], ?3::bigint[]) AS g (at, id)
         CROSS JOIN LATERAL (SELECT e.ctid FROM expiry e WHERE e.kind = ?1 AND e.at = g.at AND e.id = g.id OFFSET 0) x) f
 WHERE e.ctid = f.place;

-- name: lying_many
-- Where messages lie, each held there until we have moved it. Who is just being moved, who is held, and who has slots to
-- give back is not among them.
SELECT * FROM (SELECT l.id, 'later' AS state, l.wait, l.at FROM later l WHERE l.id = ANY (?1::bigint[]) FOR UPDATE SKIP LOCKED) a
 UNION ALL
SELECT * FROM (SELECT w.id, 'waiting', w.wait, NULL::double precision FROM waiting w WHERE w.id = ANY (?1::bigint[]) FOR UPDATE SKIP LOCKED) b
 UNION ALL
SELECT * FROM (SELECT l.id, 'leased', NULL::bytea, NULL::double precision FROM lease l WHERE l.id = ANY (?1::bigint[]) FOR SHARE SKIP LOCKED) c
 UNION ALL
SELECT * FROM (SELECT o.id, o.state, NULL::bytea, NULL::double precision FROM outcome o WHERE o.id = ANY (?1::bigint[]) FOR SHARE SKIP LOCKED) d
 UNION ALL
SELECT y.*
  FROM unnest(?1::bigint[]) AS g (id)
 CROSS JOIN LATERAL (SELECT m.route FROM message m WHERE m.id = g.id OFFSET 0) m
 CROSS JOIN LATERAL (
    SELECT r.id, 'ready', NULL::bytea, NULL::double precision
      FROM ready r
     WHERE r.route = m.route AND r.id = g.id AND r.gates IS NULL
       FOR UPDATE SKIP LOCKED) y;

-- name: later_leave_many
DELETE FROM later WHERE id = ANY (?1::bigint[]);

-- name: waiting_leave_many
DELETE FROM waiting WHERE id = ANY (?1::bigint[]);

-- name: ready_leave_many
DELETE FROM ready r
 USING (SELECT y.ctid AS place
          FROM unnest(?1::bigint[], ?2::bigint[]) AS g (route, id)
         CROSS JOIN LATERAL (SELECT r.ctid FROM ready r WHERE r.route = g.route AND r.id = g.id OFFSET 0) y) f
 WHERE r.ctid = f.place;

-- name: usages_many
SELECT message, usage, CASE kind WHEN 'llm' THEN ambiguous ELSE 0 END
  FROM step
 WHERE message = ANY (?1::bigint[]) AND origin IS NULL AND (usage IS NOT NULL OR (kind = 'llm' AND ambiguous > 0));

-- name: outcome_add_dead
INSERT INTO outcome (id, state, route, tenant, code, used, started_at, ended_at, usage, error)
SELECT g.id, 'dead', g.route, g.tenant, g.code, g.used, g.started_at, ?1, g.usage, g.error
  FROM unnest(?2::bigint[], ?3::bigint[], ?4::bigint[], ?5::text[], ?6::integer[], ?7::double precision[], ?8::bytea[], ?9::bytea[])
    AS g (id, route, tenant, code, used, started_at, usage, error);

-- name: sweep_note
-- Only while the route is blocked as it was when it was looked through.
UPDATE route SET swept = ?3, sweep_next = ?4, sweep_at = ?5 WHERE id = ?1 AND blocked_since = ?2;

-- name: fair_bite
-- In the order of the key, a bite at a time: who has nothing there and lies behind the clock begins anew anyway.
SELECT f.route, f.tenant, f.priority, f.again,
       f.last <= coalesce((SELECT tag FROM clock WHERE priority = f.priority), 0)
       AND NOT EXISTS (SELECT 1 FROM ready WHERE route = f.route AND priority = f.priority)
  FROM fair f
 WHERE (f.route, f.tenant, f.priority, f.again) > (?, ?, ?, ?)
 ORDER BY f.route, f.tenant, f.priority, f.again
 LIMIT ?;

-- name: fair_drop_many
-- Not one that was drawn from meanwhile.
DELETE FROM fair f
 USING unnest(?1::bigint[], ?2::bigint[], ?3::integer[], ?4::integer[]) AS g (route, tenant, priority, again)
 WHERE f.route = g.route AND f.tenant = g.tenant AND f.priority = g.priority AND f.again = g.again
   AND f.last <= coalesce((SELECT c.tag FROM clock c WHERE c.priority = f.priority), 0);
