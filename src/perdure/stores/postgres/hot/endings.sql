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

-- name: lines_next
-- Who is next in the lines whose heads are about to end, and what has to be known to draw a turn for it.
SELECT g.n, s.id, h.id, h.due_at, u.priority, m.route, m.tenant, coalesce(b.cost, 1), (SELECT true FROM cap WHERE at_once IS NOT NULL ORDER BY id LIMIT 1)
  FROM unnest($1::bigint[], $2::bigint[], $3::text[]) WITH ORDINALITY AS g (id, token, session, n)
 CROSS JOIN LATERAL (SELECT l.tenant FROM lease l WHERE l.id = g.id AND l.token = g.token AND l.gates IS NULL OFFSET 0) l
 CROSS JOIN LATERAL (SELECT s.id FROM session s WHERE s.tenant = l.tenant AND s.name = g.session AND s.head = g.id OFFSET 0) s
  LEFT JOIN LATERAL (SELECT h.id, h.due_at FROM held h WHERE h.session = s.id ORDER BY h.tag LIMIT 1) h ON true
  LEFT JOIN LATERAL (SELECT h.priority FROM held h WHERE h.session = s.id ORDER BY h.priority LIMIT 1) u ON true
  LEFT JOIN LATERAL (SELECT m.route, m.tenant FROM message m WHERE m.id = h.id OFFSET 0) m ON true
  LEFT JOIN LATERAL (SELECT b.cost FROM bound b WHERE b.id = h.id OFFSET 0) b ON true;

-- name: done_bound
-- The same as `done_many` for messages that belong to a session or to a group. Of a line the next one lies ready, with the
-- turn that was drawn for it; only if it is still the next, and nobody has written the line since this statement began to
-- look: whoever joins or leaves a line writes its row. Of a group as many are counted as end here; only if that leaves some,
-- or more will follow, since the last one wakes the join. Of what cannot be done so
-- nothing is written. Should a row be moved all the same, the mark is set twice: all fails, and is made again.
WITH found AS MATERIALIZED (
    SELECT g.*, l.route, l.tenant, l.attempt, l.started_at, coalesce(o.is_join, false) AS is_join
      FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[], $7::bigint[], $8::bigint[], $9::bigint[],
                  $10::integer[], $11::bigint[])
      WITH ORDINALITY
        AS g (id, token, code_version, usage, result, grp, line, next, urgency, tag, n)
     CROSS JOIN LATERAL (SELECT l.* FROM lease l WHERE l.id = g.id AND l.token = g.token AND l.gates IS NULL FOR UPDATE) l
      LEFT JOIN LATERAL (SELECT o.next = g.id AS is_join FROM grp o WHERE o.id = g.grp OFFSET 0) o ON true
), line AS MATERIALIZED (
    SELECT s.ctid AS at, s.xmin AS seen, f.n, f.line, f.next, f.urgency, f.tag
      FROM found f
     CROSS JOIN LATERAL (SELECT s.ctid, s.xmin FROM session s WHERE s.id = f.line AND s.head = f.id OFFSET 0) s
      LEFT JOIN LATERAL (SELECT h.id FROM held h WHERE h.session = f.line ORDER BY h.tag LIMIT 1) h ON true
      LEFT JOIN LATERAL (SELECT h.priority FROM held h WHERE h.session = f.line ORDER BY h.priority LIMIT 1) u ON true
     WHERE h.id IS NOT DISTINCT FROM f.next AND u.priority IS NOT DISTINCT FROM f.urgency
     ORDER BY f.line
), over AS (
    DELETE FROM session s USING line l WHERE s.ctid = l.at AND s.xmin = l.seen AND l.next IS NULL RETURNING l.n
), turned AS (
    UPDATE session s SET head = l.next, urgency = l.urgency
      FROM line l
     WHERE s.ctid = l.at AND s.xmin = l.seen AND l.next IS NOT NULL
    RETURNING l.n, l.next, l.urgency, l.tag
), group_of AS MATERIALIZED (
    SELECT o.ctid AS at, c.n
      FROM (SELECT grp, count(*)::integer AS n FROM found WHERE grp IS NOT NULL AND NOT is_join GROUP BY grp ORDER BY grp) c
     CROSS JOIN LATERAL (SELECT o.ctid FROM grp o WHERE o.id = c.grp OFFSET 0) o
), counted AS (
    UPDATE grp o SET done = o.done + c.n
      FROM group_of c
     WHERE o.ctid = c.at AND (o.open = 1 OR o.total - o.done - o.dead - o.cancelled > c.n)
    RETURNING o.id
), fit AS MATERIALIZED (
    SELECT f.*, l.ctid AS at
      FROM found f
     CROSS JOIN LATERAL (SELECT l.ctid FROM lease l WHERE l.id = f.id OFFSET 0) l
     WHERE (line IS NULL OR n IN (SELECT n FROM over UNION ALL SELECT n FROM turned))
       AND (grp IS NULL OR is_join OR grp IN (SELECT id FROM counted))
), gone AS (
    DELETE FROM lease l USING fit f WHERE l.ctid = f.at RETURNING l.id
), ended AS (
    INSERT INTO outcome (id, state, route, tenant, used, started_at, ended_at, code_version, usage, result)
    SELECT id, 'done', route, tenant, attempt, started_at, $1, code_version, usage, result FROM fit
), following AS MATERIALIZED (
    SELECT t.*, h.ctid AS at FROM turned t CROSS JOIN LATERAL (SELECT h.ctid FROM held h WHERE h.id = t.next OFFSET 0) h
), left_line AS (
    DELETE FROM held h USING following f WHERE h.ctid = f.at RETURNING h.id, h.tenant, f.urgency, f.tag, f.n
), at_once AS (
    INSERT INTO ready (route, priority, tag, id, tenant, since)
    SELECT m.route, h.urgency, h.tag, h.id, h.tenant, $1
      FROM left_line h
     CROSS JOIN LATERAL (SELECT m.route FROM message m WHERE m.id = h.id OFFSET 0) m
), told AS (
    INSERT INTO change (seq, id, route, at, was, state, total)
    SELECT (SELECT change_seq()) + 2 * n - 1, id, route, $1, 'leased', 'done', 'done' FROM fit
     UNION ALL
    SELECT (SELECT change_seq()) + 2 * h.n, h.id, m.route, $1, 'held', 'ready', NULL
      FROM left_line h
     CROSS JOIN LATERAL (SELECT m.route FROM message m WHERE m.id = h.id OFFSET 0) m
), marked AS (
    INSERT INTO mark (at, nonce, answer)
    SELECT $1::double precision, $12::bigint, array_agg(n) FROM fit
     UNION ALL
    SELECT $1::double precision, $12::bigint, NULL::bigint[]
     WHERE (SELECT count(*) FROM left_line) < (SELECT count(*) FROM turned) OR (SELECT count(*) FROM gone) < (SELECT count(*) FROM fit)
)
SELECT n, (SELECT change_seq()) + 2 * n FROM fit;
