-- name: put_plain
-- All that many callers put, in one statement, which is one transaction. Ids are drawn in the order of the arrays. What
-- many messages have in common is said once, as a kind; of what none of them has the array is empty.
WITH given AS MATERIALIZED (
    SELECT nextval('number') AS id, (SELECT change_seq()) + g.n AS seq, coalesce(g.due_at > $1, false) AS delayed, ($2::bigint[])[kind] AS tenant,
           ($3::bigint[])[kind] AS route, ($4::integer[])[kind] AS priority, ($5::integer[])[kind] AS attempts,
           ($6::double precision[])[kind] AS max_wait_s, ($7::bigint[])[kind] AS cost, g.*
      FROM unnest($8::integer[], $9::bigint[], $10::bytea[], $11::double precision[], $12::double precision[], $13::double precision[],
                  $14::bytea[], $15::text[])
      WITH ORDINALITY AS g (kind, tag, body, timeout_s, deadline, due_at, metadata, key, n)
), born AS (
    INSERT INTO message (id, tenant, route, priority, attempts, created_at, timeout_s, deadline, max_wait_s, metadata, body)
    SELECT id, tenant, route, priority, attempts, $1, timeout_s, deadline, max_wait_s, metadata, body FROM given
), at_once AS (
    INSERT INTO ready (route, priority, tag, id, tenant, since)
    SELECT route, priority, tag, id, tenant, $1 FROM given WHERE NOT delayed
), bonds AS (
    INSERT INTO bound (id, on_dead, key, cost) SELECT id, 'continue', key, cost FROM given WHERE key IS NOT NULL OR cost <> 1
), at_a_moment AS (
    INSERT INTO later (id, route, tenant, at) SELECT id, route, tenant, due_at FROM given WHERE delayed
), watched AS (
    INSERT INTO expiry (kind, at, id) SELECT 'deadline', deadline, id FROM given WHERE deadline IS NOT NULL
), told AS (
    INSERT INTO change (seq, id, route, at, state, total)
    SELECT seq, id, route, $1, CASE WHEN delayed THEN 'later' ELSE 'ready' END, 'put' FROM given
), marked AS (
    INSERT INTO mark (at, nonce, answer) SELECT $1, $16, array_agg(id ORDER BY n) FROM given
)
SELECT id, seq, (SELECT caps FROM origin) FROM given ORDER BY n;

-- name: put_keyed
-- The same with keys, each of them once. A call of which any key is known already puts nothing and gets no ids: who came
-- first is read afterwards, in peace. Should somebody put one of the keys at this very moment, the whole statement fails
-- and is made again; then that key is known. Keys are taken in one order everywhere, so that two who put the same ones
-- never wait for each other in a circle.
WITH given AS MATERIALIZED (
    SELECT nextval('number') AS id, (SELECT change_seq()) + g.n AS seq, coalesce(g.due_at > $1, false) AS delayed, ($2::bigint[])[kind] AS tenant,
           ($3::bigint[])[kind] AS route, ($4::integer[])[kind] AS priority, ($5::integer[])[kind] AS attempts,
           ($6::double precision[])[kind] AS max_wait_s, ($7::bigint[])[kind] AS cost, g.*
      FROM unnest($8::integer[], $9::bigint[], $10::bytea[], $11::double precision[], $12::double precision[], $13::double precision[],
                  $14::bytea[], $15::text[], $16::text[], $17::integer[])
      WITH ORDINALITY AS g (kind, tag, body, timeout_s, deadline, due_at, metadata, key, dedup_key, call, n)
), known AS MATERIALIZED (
    SELECT g.call
      FROM given g
     CROSS JOIN LATERAL (SELECT 1 FROM dedup d WHERE d.tenant = g.tenant AND d.key = g.dedup_key OFFSET 0) d
     WHERE g.dedup_key IS NOT NULL
), fresh AS MATERIALIZED (
    SELECT * FROM given WHERE call NOT IN (SELECT call FROM known)
), claimed AS (
    INSERT INTO dedup (tenant, key, id) SELECT tenant, dedup_key, id FROM fresh WHERE dedup_key IS NOT NULL ORDER BY tenant, dedup_key
), born AS (
    INSERT INTO message (id, tenant, route, priority, attempts, created_at, timeout_s, deadline, max_wait_s, dedup_key, metadata, body)
    SELECT id, tenant, route, priority, attempts, $1, timeout_s, deadline, max_wait_s, dedup_key, metadata, body FROM fresh
), at_once AS (
    INSERT INTO ready (route, priority, tag, id, tenant, since)
    SELECT route, priority, tag, id, tenant, $1 FROM fresh WHERE NOT delayed
), bonds AS (
    INSERT INTO bound (id, on_dead, key, cost) SELECT id, 'continue', key, cost FROM fresh WHERE key IS NOT NULL OR cost <> 1
), at_a_moment AS (
    INSERT INTO later (id, route, tenant, at) SELECT id, route, tenant, due_at FROM fresh WHERE delayed
), watched AS (
    INSERT INTO expiry (kind, at, id) SELECT 'deadline', deadline, id FROM fresh WHERE deadline IS NOT NULL
), told AS (
    INSERT INTO change (seq, id, route, at, state, total)
    SELECT seq, id, route, $1, CASE WHEN delayed THEN 'later' ELSE 'ready' END, 'put' FROM fresh
), marked AS (
    INSERT INTO mark (at, nonce, answer) SELECT $1, $18, array_agg(CASE WHEN call NOT IN (SELECT call FROM known) THEN id END ORDER BY n) FROM given
)
SELECT CASE WHEN call NOT IN (SELECT call FROM known) THEN id END AS id, seq, (SELECT caps FROM origin) FROM given ORDER BY n;
