-- name: done_many
-- The token is the fence: of a lease that was taken away nothing matches, and nothing is written for it.
WITH found AS MATERIALIZED (
    SELECT l.ctid AS at, g.*
      FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[]) WITH ORDINALITY
        AS g (id, token, code_version, usage, result, n)
     CROSS JOIN LATERAL (SELECT l.ctid FROM lease l WHERE l.id = g.id AND l.token = g.token OFFSET 0) l
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
)
SELECT n, seq FROM held;

-- name: usages_of
-- What the runs of messages used, as their journals say; for those that end without saying it themselves.
SELECT message, usage, CASE kind WHEN 'llm' THEN ambiguous ELSE 0 END
  FROM step
 WHERE message = ANY ($1::bigint[]) AND (usage IS NOT NULL OR (kind = 'llm' AND ambiguous > 0))
 ORDER BY message;
