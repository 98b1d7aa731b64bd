-- name: look
-- What would be taken now: the most urgent of the given routes in order, and as many of those put earliest as there are
-- sixteenths among the next messages taken, with those that this process still owes. Nothing is locked. In each priority of each route rows are read from the
-- head on (from its floor, where one is known) and no more than are wanted; a priority further down only where those
-- above do not suffice. Of many routes the empty ones are left out first, at a look each.
WITH open AS MATERIALIZED (
    SELECT r.id, g.n
      FROM unnest($1::bigint[]) WITH ORDINALITY AS g (id, n)
     CROSS JOIN LATERAL (SELECT * FROM route r WHERE r.id = g.id OFFSET 0) r
     WHERE NOT EXISTS (SELECT 1 FROM queue q WHERE q.name = r.queue AND q.paused = 1 OFFSET 0)
       AND NOT EXISTS (SELECT 1 FROM lane l WHERE l.name = r.lane AND l.closed_until > $2 OFFSET 0)
       AND (SELECT all_paused FROM origin) = 0
       AND ($7 OR (SELECT true FROM ready y WHERE y.route = r.id ORDER BY y.id LIMIT 1))
), urgent AS MATERIALIZED (
    SELECT h.*
      FROM generate_series(0, 9) AS p (priority)
     CROSS JOIN LATERAL (
        SELECT y.*
          FROM open
         CROSS JOIN LATERAL (
            SELECT r.priority, r.tag, r.id, r.route
              FROM ready r
             WHERE r.route = open.id AND r.priority = p.priority AND r.tag >= ($4::bigint[])[(open.n - 1) * 10 + p.priority + 1]
             ORDER BY r.tag, r.id
             LIMIT $3) y
         ORDER BY y.tag, y.id
         LIMIT $3) h
     LIMIT $3
), earliest AS MATERIALIZED (
    SELECT y.*
      FROM open
     CROSS JOIN LATERAL (
        SELECT r.priority, r.tag, r.id, r.route
          FROM ready r
         WHERE r.route = open.id AND r.id >= ($5::bigint[])[open.n] AND r.id NOT IN (SELECT id FROM urgent)
         ORDER BY r.id
         LIMIT (SELECT greatest((last_value + $3) / 16 - last_value / 16 + $8, 0) FROM taken)) y
     ORDER BY y.id
     LIMIT (SELECT greatest((last_value + $3) / 16 - last_value / 16 + $8, 0) FROM taken)
)
SELECT t.last_value, EXISTS (SELECT 1 FROM worker WHERE id = $6 AND ended_at IS NULL), h.*
  FROM taken t
  LEFT JOIN (SELECT *, false FROM urgent UNION ALL SELECT *, true FROM earliest) h ON true;

-- name: take
-- From each priority of each route as many as were chosen, from where the look found the first: rows that others are
-- taking are stepped over, so that those who lease at once neither wait for each other nor come away empty. Who was
-- chosen for being put earliest is named; if somebody else has it meanwhile, the most urgent lane gives one more. The
-- worker's row is held against those who would declare it dead meanwhile.
-- A row that another has changed after this statement began (a limit was set) can be locked, but is not seen to be taken away:
-- it is left to the next look, for what stays ready must not be leased.
-- Each message taken has a number of its own among all that ever were: whoever gets a sixteenth has to serve it.
WITH alive AS MATERIALIZED (
    SELECT id FROM worker WHERE id = $1 AND ended_at IS NULL FOR SHARE
), early AS MATERIALIZED (
    SELECT y.ctid AS at, y.priority, y.tag, y.id, y.gates
      FROM unnest($4::bigint[], $5::integer[], $6::bigint[], $7::bigint[]) AS g (route, priority, tag, id)
     CROSS JOIN LATERAL (
        SELECT r.ctid, r.*
          FROM ready r
         WHERE r.route = g.route AND r.priority = g.priority AND r.tag = g.tag AND r.id = g.id
           FOR UPDATE SKIP LOCKED) y
     WHERE EXISTS (SELECT 1 FROM alive)
), urgent AS MATERIALIZED (
    SELECT y.*
      FROM unnest($8::bigint[], $9::integer[], $10::bigint[], $11::bigint[]) WITH ORDINALITY AS g (route, priority, first, n, at)
     CROSS JOIN LATERAL (
        SELECT r.ctid AS at, r.priority, r.tag, r.id, r.gates
          FROM ready r
         WHERE r.route = g.route AND r.priority = g.priority AND r.tag >= g.first AND r.id <> ALL ($7)
         ORDER BY r.tag, r.id
         LIMIT g.n + CASE g.at WHEN 1 THEN cardinality($7::bigint[]) - (SELECT count(*) FROM early) ELSE 0 END
           FOR UPDATE SKIP LOCKED) y
     WHERE EXISTS (SELECT 1 FROM alive)
), head AS MATERIALIZED (
    SELECT row_number() OVER () AS n, h.at, h.tag, h.gates, h.priority AS lay_at, b.on_dead, b.key, b.cost, coalesce(p.used, 0) + 1 AS attempt, coalesce(p.crashes, 0) AS crashes,
           p.started_at, p.waiting_since, p.id IS NOT NULL AS begun, m.*
      FROM (SELECT * FROM early UNION ALL SELECT * FROM urgent) h
     CROSS JOIN LATERAL (SELECT * FROM message m WHERE m.id = h.id OFFSET 0) m
      LEFT JOIN LATERAL (SELECT * FROM progress p WHERE p.id = h.id OFFSET 0) p ON true
      LEFT JOIN LATERAL (SELECT * FROM bound b WHERE b.id = h.id OFFSET 0) b ON true
), gone AS (
    DELETE FROM ready r USING head h WHERE r.ctid = h.at RETURNING r.id
), got AS MATERIALIZED (
    SELECT * FROM head WHERE id IN (SELECT id FROM gone)
), leased AS (
    INSERT INTO lease (id, token, worker, route, tenant, attempt, crashes, leased_at, started_at, gates)
    SELECT id, $3 + n, $1, route, tenant, attempt, crashes, $2, coalesce(started_at, $2), gates FROM got
), told AS (
    INSERT INTO change (seq, id, route, at, was, state)
    SELECT (SELECT change_seq()) + n, id, route, $2, 'ready', 'leased' FROM got
)
SELECT (SELECT change_seq()) + n, nextval('taken'),
       $3 + n, attempt, crashes, waiting_since, begun, tag, id, route, tenant,
       priority, attempts, created_at, timeout_s, deadline, max_wait_s, session, on_dead, key, cost, parent, grp, dedup_key, metadata, body,
       lay_at
  FROM got;

-- name: sweep
-- Who lies below the floors: what was put by a transaction that took long to commit.
SELECT g.route, g.priority,
       (SELECT r.tag FROM ready r WHERE r.route = g.route AND r.priority = g.priority AND r.tag < g.floor ORDER BY r.tag LIMIT 1)
  FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS g (route, priority, floor)
 WHERE g.priority < 10
 UNION ALL
SELECT g.route, g.priority,
       (SELECT r.id FROM ready r WHERE r.route = g.route AND r.id < g.floor ORDER BY r.id LIMIT 1)
  FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS g (route, priority, floor)
 WHERE g.priority = 10;

-- name: strays
-- Leases that were given although nobody has heard of it.
SELECT id, token FROM lease WHERE worker = $1 AND token > $2 AND token <= $3;
