-- name: measure_known
SELECT count(*) FROM measure WHERE series = ?;

-- name: measure_series
SELECT count(DISTINCT series) FROM measure;

-- name: measure_add
INSERT INTO measure (series, bucket, n, total) VALUES (?, ?, ?, ?)
ON CONFLICT (series, bucket) DO UPDATE SET n = measure.n + excluded.n, total = measure.total + excluded.total;

-- name: measure_list
SELECT series, bucket, n, total FROM measure ORDER BY series, bucket;
