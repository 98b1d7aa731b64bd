-- name: leases_held
-- Which of these leases still hold, as one value: [[id, token], …] goes in. Tokens are never drawn twice.
SELECT ifnull(json_group_array(json_array(l.id, l.route, l.attempt)), '[]')
  FROM json_each(?) JOIN lease l ON l.id = value ->> 0
 WHERE l.token = value ->> 1 AND l.gates IS NULL;

-- name: leases_drop
DELETE FROM lease WHERE id IN (SELECT value FROM json_each(?));

-- name: outcomes_add
-- While their leases are still there: what those know need not go up and down again.
INSERT INTO outcome (id, state, route, tenant, used, started_at, ended_at, code_version, usage, result)
SELECT l.id, 'done', l.route, l.tenant, l.attempt, l.started_at, ?2, value ->> 1,
       CAST(value ->> 2 AS BLOB), CAST(value ->> 3 AS BLOB)
  FROM json_each(?1) JOIN lease l ON l.id = value ->> 0;

-- name: change_add
INSERT INTO change (seq, id, state, at) VALUES (?, ?, ?, ?);

-- name: changes_add
INSERT INTO change (seq, id, state, at) SELECT value ->> 0, value ->> 1, value ->> 2, ?2 FROM json_each(?1);

-- name: leases_add
INSERT INTO lease (id, token, worker, route, tenant, attempt, crashes, leased_at, started_at, gates)
SELECT value ->> 0, value ->> 1, ?2, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ?3,
       ifnull((SELECT p.started_at FROM progress p WHERE p.id = value ->> 0), ?3), value ->> 6
  FROM json_each(?1);

-- name: ready_take_many
-- By the index on (route, id): of one route.
DELETE FROM ready INDEXED BY ready_by_route WHERE route = ? AND id IN (SELECT value FROM json_each(?));

-- name: ready_heads
-- The first of a route, as one value.
SELECT ifnull(json_group_array(json_array(priority, tag, id, route, gates)), '[]')
  FROM (SELECT priority, tag, id, route, gates FROM ready WHERE route = ? ORDER BY priority, tag, id LIMIT ?);

-- name: messages_at_once
-- What `messages_to_run` says, as one value: row by row the thread would wait for Python's lock as often as there are rows.
SELECT ifnull(json_group_array(json_array(m.id, m.route, m.tenant,
       m.priority, m.attempts, m.created_at, m.timeout_s, m.deadline, m.max_wait_s,
       m.session, b.on_dead, b.key, b.cost, m.parent, m.grp, m.dedup_key, CAST(m.metadata AS TEXT), CAST(m.body AS TEXT),
       ifnull(p.used, 0), ifnull(p.crashes, 0), p.started_at, p.waiting_since, p.id IS NOT NULL)), '[]')
  FROM message m LEFT JOIN progress p ON p.id = m.id LEFT JOIN bound b ON b.id = m.id
 WHERE m.id IN (SELECT value FROM json_each(?));
