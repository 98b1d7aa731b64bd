-- Heartbeats, locks and news.

-- name: beat
-- By the database's own clock, unless a test gives the time.
UPDATE worker
   SET beat_at = coalesce(?2::double precision, extract(epoch FROM clock_timestamp())::double precision)
 WHERE id = ?1 AND ended_at IS NULL
RETURNING id;

-- name: lock_hold
SELECT pg_advisory_lock(?);

-- name: lock_release
SELECT pg_advisory_unlock(?);

-- name: lock_known
INSERT INTO worker_lock (worker) VALUES (?) ON CONFLICT DO NOTHING;

-- name: lock_forget
DELETE FROM worker_lock WHERE worker = ?;

-- name: locks_free
-- Just after its start a server has no locks at all: whoever had one is given time to take it again.
SELECT worker, pg_try_advisory_xact_lock_shared(?1::bigint | worker)
  FROM worker_lock
 WHERE clock_timestamp() - pg_postmaster_start_time() > interval '10 seconds';

-- name: ring
-- Only if somebody listens.
SELECT pg_notify(?1, ?2)
 WHERE EXISTS (SELECT
                 FROM pg_stat_get_activity(NULL)
                WHERE application_name = ?3 AND pid <> pg_backend_pid());
