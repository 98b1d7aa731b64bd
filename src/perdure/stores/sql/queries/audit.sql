-- name: audit_add
INSERT INTO audit (at, who, action, target, request, details) VALUES (?, ?, ?, ?, ?, ?);

-- name: audit_list
SELECT id, at, who, action, target, request, details
  FROM audit
 WHERE id < ?1 AND at >= ?2 AND at < ?3
 ORDER BY id DESC
 LIMIT ?4;

-- name: audit_of_target
-- One index range, whatever else is asked for: a target has few rows.
SELECT id, at, who, action, target, request, details
  FROM audit
 WHERE target = ?5 AND id < ?1 AND at >= ?2 AND at < ?3 AND who = coalesce(?6, who) AND action = coalesce(?7, action)
 ORDER BY id DESC
 LIMIT ?4;

-- name: audit_of_who
SELECT id, at, who, action, target, request, details
  FROM audit
 WHERE who = ?5 AND id < ?1 AND at >= ?2 AND at < ?3 AND action = coalesce(?6, action)
 ORDER BY id DESC
 LIMIT ?4;

-- name: audit_of_action
SELECT id, at, who, action, target, request, details
  FROM audit
 WHERE action = ?5 AND id < ?1 AND at >= ?2 AND at < ?3
 ORDER BY id DESC
 LIMIT ?4;

-- name: audit_forget
-- The oldest first, as far as they are old enough.
DELETE FROM audit WHERE id IN (SELECT id FROM audit ORDER BY id LIMIT ?2) AND at < ?1 RETURNING id;
