-- name: users
-- Who uses the store now, whichever process of whichever machine.
SELECT count(*)
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND (application_name = ?1::text OR starts_with(application_name, ?1::text || ' '));

-- name: numbers_raise
-- Whoever was given a number after the copy was made may still know it, so none of those is given out again.
SELECT setval('number', greatest((SELECT last_value FROM number), (extract(epoch FROM clock_timestamp()) * 1000)::bigint << 20)),
       setval('worker_number', (SELECT last_value FROM worker_number) + 1000000);
