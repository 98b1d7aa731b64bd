-- name: put_one
-- What a lone caller puts, as nearly all of it is: no arrays to be packed and taken apart, no row to be looked for.
WITH born AS (
    INSERT INTO message (id, tenant, route, priority, attempts, created_at, timeout_s, max_wait_s, metadata, body)
    VALUES (nextval('number'), $2, $3, $4, $5, $1, $6, $7, $8, $9) RETURNING id
), at_once AS (
    INSERT INTO ready (route, priority, tag, id, tenant, since) SELECT $3, $4, $10, id, $2, $1 FROM born
), told AS (
    INSERT INTO change (seq, id, route, at, state, total) SELECT change_seq() + 1, id, $3, $1, 'ready', 'put' FROM born RETURNING seq
), marked AS (
    INSERT INTO mark (at, nonce, answer) SELECT $1, $11, ARRAY[id] FROM born
)
SELECT born.id, told.seq, (SELECT caps FROM origin) FROM born, told;

-- name: put_ready
-- What many callers put, as nearly all of it is: it lies ready at once, and nothing but its turn is to be said of it. One
-- statement, which is one transaction; a short one, since each part of it costs a lone caller some microseconds.
WITH given AS MATERIALIZED (
    SELECT nextval('number') AS id, (SELECT change_seq()) + g.n AS seq, ($2::bigint[])[kind] AS tenant, ($3::bigint[])[kind] AS route,
           ($4::integer[])[kind] AS priority, ($5::integer[])[kind] AS attempts, ($6::double precision[])[kind] AS max_wait_s, g.*
      FROM unnest($7::integer[], $8::bigint[], $9::bytea[], $10::double precision[], $11::bytea[])
      WITH ORDINALITY AS g (kind, tag, body, timeout_s, metadata, n)
), born AS (
    INSERT INTO message (id, tenant, route, priority, attempts, created_at, timeout_s, max_wait_s, metadata, body)
    SELECT id, tenant, route, priority, attempts, $1, timeout_s, max_wait_s, metadata, body FROM given
), at_once AS (
    INSERT INTO ready (route, priority, tag, id, tenant, since) SELECT route, priority, tag, id, tenant, $1 FROM given
), told AS (
    INSERT INTO change (seq, id, route, at, state, total) SELECT seq, id, route, $1, 'ready', 'put' FROM given
), marked AS (
    INSERT INTO mark (at, nonce, answer) SELECT $1, $12, array_agg(id ORDER BY n) FROM given
)
SELECT id, seq, (SELECT caps FROM origin) FROM given ORDER BY n;

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

-- name: put_bound
-- The same for messages that belong together, by a session or a group. A line that begins is numbered as its head, whose
-- turn it is at once; whoever joins one is held behind it, and its row is written although nothing changes, so that
-- whoever moves its head meanwhile sees who has joined. Not put is a call that is more urgent than a line it joins, that
-- has no tag for a turn that it has after all, or whose group is not open. Should any of this change between the look and
-- the write, the mark is set twice: so the whole statement fails, and is made again.
WITH given AS MATERIALIZED (
    SELECT nextval('number') AS id, (SELECT change_seq()) + g.n AS seq, coalesce(g.due_at > $1, false) AS delayed, ($2::bigint[])[kind] AS tenant,
           ($3::bigint[])[kind] AS route, ($4::integer[])[kind] AS priority, ($5::integer[])[kind] AS attempts,
           ($6::double precision[])[kind] AS max_wait_s, ($7::bigint[])[kind] AS cost, g.*
      FROM unnest($8::integer[], $9::bigint[], $10::bytea[], $11::double precision[], $12::double precision[], $13::double precision[],
                  $14::bytea[], $15::text[], $16::text[], $17::integer[], $18::text[], $19::text[], $20::bigint[], $21::bytea[])
      WITH ORDINALITY
        AS g (kind, tag, body, timeout_s, deadline, due_at, metadata, key, dedup_key, call, session, on_dead, grp, wait, n)
), gathered AS MATERIALIZED (
    SELECT g.*, g.name IS NULL AS there
      FROM unnest($22::integer[], $23::bigint[], $24::bigint[], $25::text[], $26::integer[], $27::integer[]) AS g (call, id, tenant, name, open, n)
), lined AS MATERIALIZED (
    SELECT g.*, s.line, s.urgency, g.session IS NOT NULL AND g.id = min(g.id) OVER same AS first, min(g.id) OVER same AS head
      FROM given g
      LEFT JOIN LATERAL (SELECT s.id AS line, s.urgency FROM session s WHERE s.tenant = g.tenant AND s.name = g.session OFFSET 0) s ON true
    WINDOW same AS (PARTITION BY g.tenant, g.session)
), unfit AS MATERIALIZED (
    SELECT g.call
      FROM given g
     CROSS JOIN LATERAL (SELECT 1 FROM dedup d WHERE d.tenant = g.tenant AND d.key = g.dedup_key OFFSET 0) d
     WHERE g.dedup_key IS NOT NULL
     UNION ALL
    SELECT call FROM lined WHERE urgency > priority OR (first AND line IS NULL AND tag IS NULL AND NOT delayed)
     UNION ALL
    SELECT g.call FROM gathered g
     WHERE g.there AND NOT EXISTS (SELECT 1 FROM grp o WHERE o.id = g.id AND o.tenant = g.tenant AND o.open = 1 OFFSET 0)
), fresh AS MATERIALIZED (
    SELECT l.*, CASE WHEN wait IS NOT NULL THEN 'waiting' WHEN line IS NOT NULL OR (session IS NOT NULL AND NOT first) THEN 'held'
                     WHEN delayed THEN 'later' ELSE 'ready' END AS state
      FROM lined l
     WHERE call NOT IN (SELECT call FROM unfit)
), claimed AS (
    INSERT INTO dedup (tenant, key, id) SELECT tenant, dedup_key, id FROM fresh WHERE dedup_key IS NOT NULL ORDER BY tenant, dedup_key
), begun AS (
    INSERT INTO session (id, tenant, name, head, urgency)
    SELECT id, tenant, session, id, priority FROM fresh WHERE first AND line IS NULL ORDER BY tenant, session
), meant AS MATERIALIZED (
    SELECT s.ctid AS at, l.priority
      FROM (SELECT DISTINCT line, priority FROM fresh WHERE line IS NOT NULL ORDER BY line) l
     CROSS JOIN LATERAL (SELECT s.ctid FROM session s WHERE s.id = l.line OFFSET 0) s
), joined AS (
    UPDATE session s SET head = s.head FROM meant m WHERE s.ctid = m.at AND s.urgency <= m.priority RETURNING s.id
), together AS (
    INSERT INTO grp (id, tenant, name, open, total, done, dead, cancelled, next, created_at)
    SELECT g.id, g.tenant, g.name, g.open, g.n, 0, 0, 0, (SELECT f.id FROM fresh f WHERE f.grp = g.id AND f.wait IS NOT NULL), $1
      FROM gathered g
     WHERE NOT g.there AND g.call NOT IN (SELECT call FROM unfit)
), added_to AS MATERIALIZED (
    SELECT o.ctid AS at, g.n
      FROM (SELECT * FROM gathered WHERE there AND call NOT IN (SELECT call FROM unfit) ORDER BY id) g
     CROSS JOIN LATERAL (SELECT o.ctid FROM grp o WHERE o.id = g.id OFFSET 0) o
), grown AS (
    UPDATE grp o SET total = o.total + a.n FROM added_to a WHERE o.ctid = a.at AND o.open = 1 RETURNING o.id
), members AS (
    INSERT INTO member (grp, id) SELECT grp, id FROM fresh WHERE grp IS NOT NULL AND wait IS NULL
), born AS (
    INSERT INTO message (id, tenant, route, priority, attempts, created_at, timeout_s, deadline, max_wait_s, session, grp, dedup_key, metadata, body)
    SELECT id, tenant, route, priority, attempts, $1, timeout_s, deadline, max_wait_s, session, grp, dedup_key, metadata, body FROM fresh
), at_once AS (
    INSERT INTO ready (route, priority, tag, id, tenant, since)
    SELECT route, priority, tag, id, tenant, $1 FROM fresh WHERE state = 'ready'
), in_line AS (
    INSERT INTO held (id, route, tenant, priority, tag, since, session, due_at)
    SELECT id, route, tenant, priority, id, $1, coalesce(line, head), CASE WHEN delayed THEN due_at END FROM fresh WHERE state = 'held'
), at_a_moment AS (
    INSERT INTO later (id, route, tenant, at) SELECT id, route, tenant, due_at FROM fresh WHERE state = 'later'
), for_all AS (
    INSERT INTO waiting (id, route, tenant, wait) SELECT id, route, tenant, wait FROM fresh WHERE state = 'waiting'
), since AS (
    INSERT INTO progress (id, waiting_since) SELECT id, $1 FROM fresh WHERE state = 'waiting'
), bonds AS (
    INSERT INTO bound (id, on_dead, key, cost)
    SELECT id, coalesce(on_dead, 'continue'), key, cost FROM fresh WHERE session IS NOT NULL OR key IS NOT NULL OR cost <> 1
), watched AS (
    INSERT INTO expiry (kind, at, id)
    SELECT 'deadline', deadline, id FROM fresh WHERE deadline IS NOT NULL
     UNION ALL
    SELECT CASE state WHEN 'held' THEN 'held' ELSE 'patience' END, $1 + max_wait_s, id FROM fresh WHERE state IN ('held', 'waiting')
), told AS (
    INSERT INTO change (seq, id, route, at, state, total) SELECT seq, id, route, $1, state, 'put' FROM fresh
), marked AS (
    INSERT INTO mark (at, nonce, answer)
    SELECT $1::double precision, $28::bigint, array_agg(CASE WHEN call NOT IN (SELECT call FROM unfit) THEN id END ORDER BY n) FROM given
     UNION ALL
    SELECT $1::double precision, $28::bigint, NULL::bigint[]
     WHERE (SELECT count(*) FROM joined) < (SELECT count(*) FROM meant) OR (SELECT count(*) FROM grown) < (SELECT count(*) FROM added_to)
)
SELECT CASE WHEN call NOT IN (SELECT call FROM unfit) THEN id END AS id, seq, (SELECT caps FROM origin) FROM given ORDER BY n;

-- name: keys_known
-- What these keys have brought before, and whether that is the same; a body may have been edited since.
SELECT g.n, m.id, m.grp, (SELECT r.agent FROM route r WHERE r.id = m.route) = g.agent AND (m.body = g.body OR (e.body = g.body) IS TRUE)
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS g (tenant, key, agent, body, n)
 CROSS JOIN LATERAL (SELECT t.id FROM tenant t WHERE t.name = g.tenant OFFSET 0) t
 CROSS JOIN LATERAL (SELECT d.id FROM dedup d WHERE d.tenant = t.id AND d.key = g.key OFFSET 0) d
 CROSS JOIN LATERAL (SELECT m.* FROM message m WHERE m.id = d.id OFFSET 0) m
  LEFT JOIN LATERAL (SELECT e.body FROM edit e WHERE e.message = m.id AND e.body IS NOT NULL ORDER BY e.id LIMIT 1) e ON true
 ORDER BY g.n;

-- name: lines_there
-- In which of these sessions somebody is: of a message that joins them no turn has to be drawn.
SELECT g.n
  FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS g (tenant, name, n)
 CROSS JOIN LATERAL (SELECT 1 FROM session s WHERE s.tenant = g.tenant AND s.name = g.name OFFSET 0) s;

-- name: groups_drawn
SELECT nextval('number') FROM generate_series(1, $1::integer);
