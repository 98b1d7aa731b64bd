-- name: verify_plans
-- To read everything once, whole tables are the quickest way; hot calls are told to avoid just that.
SELECT set_config(name, 'on', true) FROM unnest('{enable_seqscan,enable_hashjoin,enable_mergejoin,enable_bitmapscan}'::text[]) AS said (name);

-- name: verify_numbers
-- Tokens may be chosen by those who lease, and changes are numbered by transactions.
SELECT id FROM message WHERE id > (SELECT last_value FROM number) LIMIT ?;
