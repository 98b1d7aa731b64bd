-- name: sequence_get
-- The newest rows know what transactions drew that only put, and wrote nothing here.
SELECT last, change, taken, worker, all_paused, caps, (SELECT max(id) FROM message), (SELECT max(seq) FROM change)
  FROM sequence WHERE one = 1;

-- name: sequence_set
UPDATE sequence SET last = ?, change = ?, taken = ?, worker = ?, all_paused = ? WHERE one = 1;

-- name: sequence_last_change
SELECT max(change, ifnull((SELECT max(seq) FROM change), 0)) FROM sequence WHERE one = 1;

-- name: change_list
-- Tenant, queue and agent of a message never change, so they are looked up instead of written each time.
SELECT c.seq, c.id, t.name, r.queue, r.agent, c.state, c.at
  FROM change c
  JOIN message m ON m.id = c.id
  JOIN route r ON r.id = m.route
  JOIN tenant t ON t.id = m.tenant
 WHERE c.seq > ?1 AND (?2 IS NULL OR t.name = ?2)
 ORDER BY c.seq
 LIMIT ?3;

-- name: change_old
-- A bounded bite of the oldest ones: the writer is never held up for long.
SELECT max(seq), count(*) FROM (SELECT seq, at FROM change ORDER BY seq LIMIT ?2) AS oldest WHERE at < ?1;

-- name: change_forget
DELETE FROM change WHERE seq <= ?;

-- name: kept_set
-- A tally grows, a tag is as it was drawn.
INSERT INTO kept (what, a, b, c, d, n) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (what, a, b, c, d) DO UPDATE SET n = iif(what = 'tally', n, 0) + excluded.n;

-- name: kept_set_three
-- So many a lone put changes.
INSERT INTO kept (what, a, b, c, d, n) VALUES (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?)
ON CONFLICT (what, a, b, c, d) DO UPDATE SET n = iif(what = 'tally', n, 0) + excluded.n;

-- name: tally_list
SELECT a, b, c, n FROM kept WHERE what = 'tally' ORDER BY a;

-- name: counter_add
INSERT INTO counter (name, n) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n;

-- name: counter_list
SELECT name, n FROM counter;
