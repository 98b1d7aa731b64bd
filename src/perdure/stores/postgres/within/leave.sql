-- name: known
-- The agents of some messages, and what time it is in the database: one row at least.
SELECT a.name AS name, convert_from(a.card, 'UTF8') AS card, CAST(extract(epoch FROM clock_timestamp()) AS double precision) AS now
  FROM (SELECT 1 AS n) one
  LEFT JOIN {schema}.agent a ON a.name IN (SELECT e FROM jsonb_array_elements_text(CAST(CAST(? AS text) AS jsonb)) AS listed (e));

-- name: all_known
SELECT name AS name FROM {schema}.agent ORDER BY name;

-- name: leave
-- In the order they came, so that ids are in that order too.
WITH given AS MATERIALIZED (
    SELECT nextval('{schema}.number') AS id, n, e ->> 0 AS tenant, e ->> 1 AS dedup_key, convert_to(e ->> 2, 'UTF8') AS message
      FROM jsonb_array_elements(CAST(CAST(? AS text) AS jsonb)) WITH ORDINALITY AS listed (e, n)
), left_there AS (
    INSERT INTO {schema}.inbox (id, tenant, dedup_key, message)
    SELECT id, tenant, dedup_key, message FROM given ORDER BY n
        ON CONFLICT (tenant, dedup_key) WHERE dedup_key IS NOT NULL DO NOTHING
    RETURNING id
)
SELECT g.id AS id, CASE WHEN l.id IS NULL THEN 0 ELSE 1 END AS fresh FROM given g LEFT JOIN left_there l ON l.id = g.id ORDER BY g.n;

-- name: before
-- Who has come with these keys: still in the inbox, or put already, and perhaps edited since.
SELECT 0 AS moved, i.tenant AS tenant, i.dedup_key AS dedup_key, i.id AS id, NULL AS agent, convert_from(i.message, 'UTF8') AS body, NULL AS first_body
  FROM jsonb_array_elements(CAST(CAST(? AS text) AS jsonb)) AS listed (e)
  JOIN {schema}.inbox i ON i.tenant = e ->> 0 AND i.dedup_key = e ->> 1
UNION ALL
SELECT 1, t.name, d.key, d.id, r.agent, convert_from(m.body, 'UTF8'),
       (SELECT convert_from(x.body, 'UTF8') FROM {schema}.edit x WHERE x.message = m.id AND x.body IS NOT NULL ORDER BY x.id LIMIT 1)
  FROM jsonb_array_elements(CAST(CAST(? AS text) AS jsonb)) AS listed (e)
  JOIN {schema}.tenant t ON t.name = e ->> 0
  JOIN {schema}.dedup d ON d.tenant = t.id AND d.key = e ->> 1
  JOIN {schema}.message m ON m.id = d.id
  JOIN {schema}.route r ON r.id = m.route;

-- name: take_back
DELETE FROM {schema}.inbox
 WHERE id IN (SELECT CAST(e AS bigint) FROM jsonb_array_elements_text(CAST(CAST(? AS text) AS jsonb)) AS listed (e))
RETURNING id AS id;
