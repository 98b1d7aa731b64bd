-- name: error_known
SELECT id FROM error_line WHERE id = ?;

-- name: error_family
SELECT count(*) FROM error_line WHERE family = ?;

-- name: error_line_add
INSERT INTO error_line (id, family, card, n, first_at, last_at, sample, hint) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET n = error_line.n + excluded.n, last_at = excluded.last_at, sample = excluded.sample, hint = excluded.hint;

-- name: error_hour_add
INSERT INTO error_hour (hour, line, n) VALUES (?, ?, ?) ON CONFLICT (hour, line) DO UPDATE SET n = error_hour.n + excluded.n;

-- name: error_hours_forget
DELETE FROM error_hour WHERE hour < ?;

-- name: error_lines_forget
DELETE FROM error_line WHERE last_at < ?;

-- name: error_lines
SELECT id, card, n, first_at, last_at, sample, hint FROM error_line ORDER BY last_at DESC, id LIMIT ?;

-- name: error_hours
SELECT line, hour, n FROM error_hour;
