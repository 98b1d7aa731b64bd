-- name: worker_add
INSERT INTO worker (id, epoch, quarantine, queues, card, started_at, beat_at) VALUES (?, 1, ?, ?, ?, ?, ?);

-- name: worker_beat
-- Nothing comes back for a worker that was declared dead: it is fenced.
UPDATE worker SET beat_at = ? WHERE id = ? AND ended_at IS NULL RETURNING id;

-- name: worker_beats
SELECT id, beat_at FROM worker WHERE ended_at IS NULL;

-- name: worker_end
UPDATE worker SET ended_at = ?2, epoch = epoch + 1 WHERE id = ?1 AND ended_at IS NULL RETURNING id;

-- name: worker_end_if
-- Only if it has not beaten since it was looked at.
UPDATE worker SET ended_at = ?3, epoch = epoch + 1
 WHERE id = ?1 AND beat_at = ?2 AND ended_at IS NULL
RETURNING card;

-- name: worker_shown
-- Newest first; leases are few enough to be counted.
SELECT w.id, w.card, w.started_at, w.beat_at, w.ended_at, (SELECT count(*) FROM lease WHERE worker = w.id)
  FROM worker w
 WHERE w.ended_at IS NULL OR w.ended_at >= ?
 ORDER BY w.id DESC;

-- name: worker_forget
DELETE FROM worker WHERE id IN (SELECT id FROM worker WHERE ended_at < ? LIMIT ?) RETURNING id;

-- name: worker_agent_add
INSERT OR REPLACE INTO worker_agent (worker, agent, version) VALUES (?, ?, ?);

-- name: worker_agent_drop
DELETE FROM worker_agent WHERE worker = ?;

-- name: agent_set
INSERT INTO agent (name, card, registered_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET card = excluded.card, registered_at = excluded.registered_at;

-- name: agent_get
SELECT card FROM agent WHERE name = ?;

-- name: agent_list
SELECT card FROM agent ORDER BY name;

-- name: lease_take_all
DELETE FROM lease WHERE worker = ? RETURNING id, route, tenant, attempt, crashes, started_at, called_off, gates;
