-- name: view_message
SELECT m.id, m.route, t.name, r.queue, r.agent, r.version, r.lane,
       m.priority, m.attempts, m.created_at, m.timeout_s, m.deadline, m.max_wait_s,
       m.session, b.on_dead, b.key, b.cost, m.parent, m.grp, m.dedup_key, m.metadata, m.body,
       ifnull(p.used, 0), ifnull(p.crashes, 0), ifnull(p.results, 0), ifnull(p.revived, 0), p.started_at, p.waiting_since, p.usage
  FROM message m
  JOIN route r ON r.id = m.route
  JOIN tenant t ON t.id = m.tenant
  LEFT JOIN progress p ON p.id = m.id
  LEFT JOIN bound b ON b.id = m.id
 WHERE m.id = ?;

-- name: view_lease
SELECT worker, attempt, started_at, called_off FROM lease WHERE id = ?;

-- name: view_later
SELECT at, wait FROM later WHERE id = ?;

-- name: view_waiting
SELECT wait FROM waiting WHERE id = ?;

-- name: view_held
-- What holds it: a session, with the message at its head, or a limit. On which route it would lie ready.
SELECT h.route, h.session, h.tag, s.name, s.head, (SELECT o.id FROM outcome o WHERE o.id = s.head AND o.state = 'dead'),
       c.scope, c.name, g.key, c.at_once, h.due_at
  FROM held h
  LEFT JOIN session s ON s.id = h.session
  LEFT JOIN gate g ON g.id = h.gate
  LEFT JOIN cap c ON c.id = g.cap
 WHERE h.id = ?;

-- name: held_position
-- Counted as far as it is cheap.
SELECT count(*) FROM (SELECT 1 FROM held WHERE session = ? AND tag < ? LIMIT ?) AS before_it;

-- name: view_outcome
SELECT used, started_at, ended_at, code_version, usage, error, result FROM outcome WHERE id = ?;

-- name: route_quarantine_of
SELECT q.id
  FROM route r
  JOIN route q ON q.agent = r.agent AND q.queue = r.queue AND q.version IS r.version AND q.lane IS r.lane AND q.quarantine = 1
 WHERE r.id = ?;
