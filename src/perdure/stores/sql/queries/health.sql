-- name: health_list
-- Providers are few.
SELECT name, due_at, card FROM provider_health ORDER BY name;

-- name: health_take
INSERT INTO provider_health (name, due_at, card) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET due_at = excluded.due_at;

-- name: health_set
INSERT INTO provider_health (name, due_at, card) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET due_at = excluded.due_at, card = excluded.card;

-- name: health_get
SELECT card FROM provider_health WHERE name = ?;

-- name: health_forget
DELETE FROM provider_health WHERE due_at < ?;
