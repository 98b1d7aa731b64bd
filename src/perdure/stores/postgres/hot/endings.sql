-- name: done_many
-- The token is the fence: of a lease that was taken away nothing matches, and nothing is written for it. Nor for one that
-- has slots to give back.
WITH found AS MATERIALIZED (
    SELECT l.ctid AS at, g.*
      FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[]) WITH ORDINALITY
        AS g (id, token, code_version, usage, result, n)
     CROSS JOIN LATERAL (SELECT l.ctid FROM lease l WHERE l.id = g.id AND l.token = g.token AND l.gates IS NULL OFFSET 0) l
), held AS MATERIALIZED (
    DELETE FROM lease l
     USING found f
     WHERE l.ctid = f.at
    RETURNING l.id, l.route, l.tenant, l.attempt, l.started_at, f.code_version, f.usage, f.result, f.n, (SELECT change_seq()) + f.n AS seq
), ended AS (
    INSERT INTO outcome (id, state, route, tenant, used, started_at, ended_at, code_version, usage, result)
    SELECT id, 'done', route, tenant, attempt, started_at, $1, code_version, usage, result FROM held
), told AS (
    INSERT INTO change (seq, id, route, at, was, state, total) SELECT seq, id, route, $1, 'leased', 'done', 'done' FROM held
), marked AS (
    INSERT INTO mark (at, nonce, answer) SELECT $1, $7, array_agg(n) FROM held
)
SELECT n, seq FROM held;

-- name: usages_of
-- What the runs of messages used, as their journals say; for those that end without saying it themselves.
SELECT message, usage, CASE kind WHEN 'llm' THEN ambiguous ELSE 0 END
  FROM step
 WHERE message = ANY ($1::bigint[]) AND origin IS NULL AND (usage IS NOT NULL OR (kind = 'llm' AND ambiguous > 0))
 ORDER BY message;

-- name: leave_many
-- Tried again, parked or given up. What is kept of how far a message has come is added to; patience is counted from the
-- first wait without a stated end.
WITH found AS MATERIALIZED (
    SELECT l.ctid AS place, p.waiting_since, g.*
      FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::double precision[], $9::bytea[],
                  $10::boolean[], $11::text[], $12::bytea[], $13::integer[], $14::bytea[], $15::double precision[], $16::double precision[])
      WITH ORDINALITY
        AS g (id, token, move, state, total, given_back, until, wait, endless, code, error, step, usage, deadline, max_wait_s, n)
     CROSS JOIN LATERAL (SELECT l.ctid FROM lease l WHERE l.id = g.id AND l.token = g.token AND l.called_off IS NULL AND l.gates IS NULL OFFSET 0) l
      LEFT JOIN LATERAL (SELECT p.waiting_since FROM progress p WHERE p.id = g.id OFFSET 0) p ON true
), held AS MATERIALIZED (
    DELETE FROM lease l
     USING found f
     WHERE l.ctid = f.place
    RETURNING l.route, l.tenant, l.worker, l.attempt, l.attempt - f.given_back AS used, l.crashes, l.started_at,
              (SELECT change_seq()) + f.n AS seq, CASE WHEN f.endless THEN coalesce(f.waiting_since, $1) END AS since, f.*
), ended AS (
    INSERT INTO outcome (id, state, route, tenant, code, used, started_at, ended_at, usage, error)
    SELECT id, state, route, tenant, code, used, started_at, $1, usage, error FROM held WHERE state = 'dead'
), at_a_moment AS (
    INSERT INTO later (id, route, tenant, at, wait) SELECT id, route, tenant, until, wait FROM held WHERE state = 'later'
), for_somebody AS (
    INSERT INTO waiting (id, route, tenant, wait, until) SELECT id, route, tenant, wait, until FROM held WHERE state = 'waiting'
), come AS (
    INSERT INTO progress AS p (id, used, crashes, started_at, waiting_since, usage)
    SELECT id, used, crashes, started_at, since, usage FROM held WHERE state <> 'dead'
    ON CONFLICT (id) DO UPDATE
       SET used = excluded.used, started_at = excluded.started_at, waiting_since = excluded.waiting_since,
           usage = coalesce(excluded.usage, p.usage)
), watched AS (
    INSERT INTO expiry (kind, at, id)
    SELECT 'deadline', deadline, id FROM held WHERE state <> 'dead' AND deadline IS NOT NULL
     UNION ALL
    SELECT 'patience', since + max_wait_s, id FROM held WHERE state <> 'dead' AND since IS NOT NULL
    ON CONFLICT DO NOTHING
), wrong AS (
    INSERT INTO attempt (message, n, kind, at, worker, error)
    SELECT id, attempt, move, $1, worker, error FROM held WHERE move <> 'park'
), again AS (
    UPDATE step s SET state = 'again'
      FROM held h
     CROSS JOIN LATERAL (SELECT s.ctid FROM step s WHERE s.message = h.id AND s.number = h.step AND s.state = 'failed' OFFSET 0) f
     WHERE s.ctid = f.ctid
), told AS (
    INSERT INTO change (seq, id, route, at, was, state, total) SELECT seq, id, route, $1, 'leased', state, total FROM held
), marked AS (
    INSERT INTO mark (at, nonce, answer) SELECT $1, $17, array_agg(n) FROM held
)
SELECT n, seq FROM held;
