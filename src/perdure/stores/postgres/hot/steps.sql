-- name: begin_steps
-- Steps that are made for the first time, of any number of runs. The lease is held against whoever would take it away
-- meanwhile; of a stale one, or one that was called off, nothing matches. What is there already is not touched, and not among what comes back.
WITH held AS MATERIALIZED (
    SELECT nextval('step_id_seq') AS id, g.*
      FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[], $9::integer[], $10::text[],
                  $11::integer[], $12::double precision[], $13::smallint[], $14::text[], $15::bytea[], $16::bytea[], $17::text[])
      WITH ORDINALITY
        AS g (message, token, number, scope, kind, name, fingerprint, n, state, attempt, until, idempotent, tool_version, result, request,
              lane, at)
     CROSS JOIN LATERAL (SELECT 1 FROM lease l WHERE l.id = g.message AND l.token = g.token AND l.called_off IS NULL FOR SHARE) l
), begun AS (
    INSERT INTO step (id, message, number, scope, kind, name, fingerprint, n, tries, state, attempt, ambiguous, began_at, ended_at,
                      until, idempotent, diverged, tool_version, result, lane)
    SELECT id, message, number, scope, kind, name, fingerprint, n, 1, state, attempt, 0, $1::double precision, CASE state WHEN 'done' THEN $1::double precision END,
           until, idempotent, 0, tool_version, result, lane
      FROM held
    ON CONFLICT (message, number) DO NOTHING
    RETURNING id
), mine AS MATERIALIZED (
    SELECT id, at, request FROM held WHERE (id IN (SELECT id FROM begun)) IS TRUE
), asked AS (
    INSERT INTO request (step, data) SELECT id, request FROM mine WHERE request IS NOT NULL
), talked AS (
    INSERT INTO said (message, hash, before, data)
    SELECT g.message, g.hash, g.before, g.data
      FROM unnest($18::bigint[], $19::bigint[], $20::bytea[], $21::bytea[], $22::bytea[]) AS g (at, message, hash, before, data)
     WHERE (g.at IN (SELECT at FROM mine)) IS TRUE
     ORDER BY g.message, g.hash
    ON CONFLICT DO NOTHING
), remembered AS (
    INSERT INTO memory (tenant, space, key, value)
    SELECT g.tenant, g.space, g.key, g.value
      FROM unnest($23::bigint[], $24::text[], $25::text[], $26::text[], $27::bytea[]) AS g (at, tenant, space, key, value)
     WHERE (g.at IN (SELECT at FROM mine)) IS TRUE
     ORDER BY g.tenant, g.space, g.key
    ON CONFLICT (tenant, space, key) DO UPDATE SET value = excluded.value
), marked AS (
    INSERT INTO mark (at, nonce, answer) SELECT $1, $28, array_agg(at) FROM mine
)
SELECT at FROM mine;

-- name: end_steps
-- Steps under way whose outcome is known now, and that had used nothing before; with what they cost, booked on their accounts.
WITH held AS MATERIALIZED (
    SELECT s.ctid AS place, g.*
      FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::bytea[], $7::bytea[], $8::bytea[], $9::bigint[], $10::bigint[],
                  $11::bigint[], $12::bigint[], $13::bigint[])
      WITH ORDINALITY AS g (message, token, number, state, usage, error, result, calls, input_tokens, output_tokens, cost, unpriced, at)
     CROSS JOIN LATERAL (SELECT 1 FROM lease l WHERE l.id = g.message AND l.token = g.token FOR SHARE) l
     CROSS JOIN LATERAL (
        SELECT s.ctid FROM step s
         WHERE s.message = g.message AND s.number = g.number AND s.state = 'intent' AND s.usage IS NULL
        OFFSET 0) s
), ended AS (
    UPDATE step s SET state = h.state, ended_at = $1, usage = h.usage, error = h.error, result = h.result
      FROM held h
     WHERE s.ctid = h.place
    RETURNING h.at, h.calls, h.input_tokens, h.output_tokens, h.cost, h.unpriced
), counted AS (
    INSERT INTO counting (name, n)
    SELECT c.name, c.n
      FROM (SELECT sum(calls)::bigint AS calls, sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
                   sum(cost)::bigint AS cost, sum(unpriced)::bigint AS unpriced
              FROM ended) e
     CROSS JOIN LATERAL (VALUES ('calls', e.calls), ('input_tokens', e.input_tokens), ('output_tokens', e.output_tokens),
                                ('cost_nanousd', e.cost), ('unpriced_calls', e.unpriced)) AS c (name, n)
     WHERE c.n > 0
), booked AS (
    INSERT INTO spending (day, tenant, key, agent, lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
                          cost, held, saved_calls, saved)
    SELECT day, tenant, key, agent, lane, sum(calls), sum(unpriced), sum(input_tokens), sum(output_tokens), sum(cached_tokens),
           sum(reasoning_tokens), sum(cost), sum(held), sum(saved_calls), sum(saved)
      FROM unnest($14::bigint[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::bigint[], $21::bigint[],
                  $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[])
        AS g (at, day, tenant, key, agent, lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
              cost, held, saved_calls, saved)
     WHERE (g.at IN (SELECT at FROM ended)) IS TRUE
     GROUP BY day, tenant, key, agent, lane
), marked AS (
    INSERT INTO mark (at, nonce, answer) SELECT $1, $30, array_agg(at) FROM ended
)
SELECT at FROM ended;
