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

-- name: xid_if_any
SELECT pg_current_xact_id_if_assigned()::text;

-- name: xid_status
SELECT pg_xact_status(?::text::xid8);

-- name: base_raise
-- A database restored elsewhere has changes whose transactions this server never numbered so high.
UPDATE origin
   SET base = (newest.seq >> 20) - xid.now + 1
  FROM (SELECT greatest((SELECT max(seq) FROM change), (SELECT seq FROM folded)) AS seq) newest,
       (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now) xid
 WHERE newest.seq >> 20 >= xid.now + base;
