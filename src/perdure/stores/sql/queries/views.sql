-- name: view_message
SELECT m.id, m.route, t.name, r.queue, r.agent, r.version, r.lane,
       m.priority, m.attempts, m.created_at, m.timeout_s, m.deadline, m.max_wait_s, m.parent, m.grp, m.dedup_key, m.metadata, m.body,
       ifnull(p.used, 0), ifnull(p.crashes, 0), ifnull(p.results, 0), ifnull(p.revived, 0), p.started_at, p.waiting_since, p.usage
  FROM message m
  JOIN route r ON r.id = m.route
  JOIN tenant t ON t.id = m.tenant
  LEFT JOIN progress p ON p.id = m.id
 WHERE m.id = ?;

-- name: view_lease
SELECT worker, attempt, started_at, called_off FROM lease WHERE id = ?;

-- name: view_later
SELECT at, wait FROM later WHERE id = ?;

-- name: view_waiting
SELECT wait FROM waiting WHERE id = ?;

-- name: view_outcome
SELECT used, started_at, ended_at, code_version, usage, error, result FROM outcome WHERE id = ?;

-- name: route_quarantine_of
SELECT q.id
  FROM route r
  JOIN route q ON q.agent = r.agent AND q.queue = r.queue AND q.version IS r.version AND q.lane IS r.lane AND q.quarantine = 1
 WHERE r.id = ?;
