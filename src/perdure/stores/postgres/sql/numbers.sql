-- Numbers and switches.

-- name: number_draw
SELECT nextval('number') FROM generate_series(1, ?);

-- name: worker_number
SELECT nextval('worker_number');

-- name: taken_so_far
SELECT last_value FROM taken;

-- name: taken_add
SELECT max(nextval('taken')) FROM generate_series(1, ?);

-- name: pause_all
UPDATE origin SET all_paused = ?;

-- name: base_raise
-- A database restored elsewhere has changes whose transactions this server never numbered so high.
UPDATE origin
   SET base = (newest.seq >> 20) - xid.now + 1
  FROM (SELECT greatest((SELECT max(seq) FROM change), (SELECT seq FROM folded)) AS seq) newest,
       (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now) xid
 WHERE newest.seq >> 20 >= xid.now + base;

-- name: mark_set
INSERT INTO mark (at, nonce) VALUES (?, ?);

-- name: mark_claim
-- Waits for a transaction that has set the same mark and is still open. If it is not committed then, it never will be, for
-- the mark is ours now.
INSERT INTO mark (at, nonce, claimed) VALUES (?, ?, true) ON CONFLICT DO NOTHING;

-- name: mark_read
-- Whose a mark is, and what its transaction had to answer.
SELECT claimed, answer FROM mark WHERE at = ? AND nonce = ?;

-- name: mark_forget
DELETE FROM mark WHERE at < ?;

-- name: backend_end
-- The session of a connection that was lost, should it not have noticed yet; never another that has its number now.
SELECT pg_terminate_backend(pid)
  FROM pg_stat_get_activity(?1) AS session
 WHERE application_name = ?2;
