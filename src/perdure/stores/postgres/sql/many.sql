-- Many messages at once, inside a transaction. What is given is sorted by its caller.

-- name: known_many
-- What has to be known of messages to move them, and how far they have come.
SELECT m.id, m.route, m.tenant, m.priority, m.deadline, m.max_wait_s, m.parent, m.grp, m.session,
       coalesce(b.on_dead, 'continue'), b.key, coalesce(b.cost, 1),
       coalesce(p.used, 0), coalesce(p.crashes, 0), coalesce(p.results, 0), coalesce(p.revived, 0), p.started_at, p.waiting_since, p.usage
  FROM unnest(?1::bigint[]) AS g (id)
 CROSS JOIN LATERAL (SELECT * FROM message m WHERE m.id = g.id OFFSET 0) m
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
