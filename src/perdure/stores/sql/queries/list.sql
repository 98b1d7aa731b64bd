-- name: list_all
SELECT id FROM message WHERE id < ? ORDER BY id DESC;

-- name: list_ready
SELECT id FROM ready WHERE route = ? AND id < ? ORDER BY id DESC;

-- name: list_ready_of
SELECT id FROM ready WHERE tenant = ? AND route = ? AND id < ? ORDER BY id DESC;

-- name: list_later
SELECT id FROM later WHERE route = ? AND id < ? ORDER BY id DESC;

-- name: list_later_of
SELECT id FROM later WHERE tenant = ? AND route = ? AND id < ? ORDER BY id DESC;

-- name: list_waiting
SELECT id FROM waiting WHERE route = ? AND id < ? ORDER BY id DESC;

-- name: list_waiting_of
SELECT id FROM waiting WHERE tenant = ? AND route = ? AND id < ? ORDER BY id DESC;

-- name: list_held
SELECT id FROM held WHERE route = ? AND id < ? ORDER BY id DESC;

-- name: list_held_of
SELECT id FROM held WHERE tenant = ? AND route = ? AND id < ? ORDER BY id DESC;

-- name: list_session
SELECT id FROM message WHERE session = ? AND id < ? ORDER BY id DESC;

-- name: message_facts
SELECT t.name, r.queue, r.agent, (SELECT code FROM outcome WHERE id = m.id AND state = 'dead')
  FROM message m JOIN tenant t ON t.id = m.tenant JOIN route r ON r.id = m.route
 WHERE m.id = ?;

-- name: list_leased
-- All of them: no more than the workers have slots.
SELECT id, route, tenant FROM lease WHERE id < ? ORDER BY id DESC;

-- name: list_ended
SELECT id FROM outcome WHERE state = ? AND route = ? AND id < ? ORDER BY id DESC;

-- name: list_ended_of
SELECT id FROM outcome WHERE state = ? AND tenant = ? AND route = ? AND id < ? ORDER BY id DESC;

-- name: list_dead_code
-- The state is written out, so that the planner sees that the partial index holds all it needs.
SELECT id FROM outcome INDEXED BY dead_by_code WHERE state = 'dead' AND code = ? AND route = ? AND id < ? ORDER BY id DESC;

-- name: list_dead_code_of
SELECT id FROM outcome INDEXED BY dead_by_tenant WHERE state = 'dead' AND code = ? AND tenant = ? AND route = ? AND id < ? ORDER BY id DESC;
