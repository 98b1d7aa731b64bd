-- The change sequence and the kept numbers.

-- name: change_add_many
-- All changes of a transaction. Of those that only add to a total no message moved: they come first, so that
-- the newest number is a move's.
INSERT INTO change (seq, id, route, at, was, state, total)
SELECT s.seq + new.n, new.id, new.route, ?1, new.was, new.state, new.total
  FROM (SELECT change_seq() AS seq) s,
       unnest(?2::bigint[], ?3::bigint[], ?4::text[], ?5::text[], ?6::text[]) WITH ORDINALITY AS new (id, route, was, state, total, n);

-- name: change_add_in_turn
-- Where transactions have no numbers: in the order of their commits, since the lock is held until then.
INSERT INTO change (seq, id, route, at, was, state, total)
SELECT nextval('number'), new.id, new.route, ?1, new.was, new.state, new.total
  FROM unnest(?2::bigint[], ?3::bigint[], ?4::text[], ?5::text[], ?6::text[]) AS new (id, route, was, state, total);

-- name: change_lock
SELECT one FROM origin FOR UPDATE;

-- name: counting_add
INSERT INTO counting (name, n) SELECT name, n FROM unnest(?1::text[], ?2::bigint[]) AS new (name, n);

-- name: change_reach
-- Asked for on its own, before the statement that reads changes below it begins.
SELECT change_reach();

-- name: sequence_last_change
-- What was forgotten was folded before.
SELECT greatest(
    (SELECT seq FROM folded),
    (SELECT seq FROM change WHERE seq < ?reach AND id IS NOT NULL ORDER BY seq DESC LIMIT 1));

-- name: news_look
-- The same, and the newest of all, which may still be held back.
SELECT greatest(
           (SELECT seq FROM folded),
           (SELECT seq FROM change WHERE seq < ?reach AND id IS NOT NULL ORDER BY seq DESC LIMIT 1)),
       coalesce((SELECT seq FROM change ORDER BY seq DESC LIMIT 1), 0);

-- name: change_list
SELECT c.seq, c.id, t.name, r.queue, r.agent, c.state, c.at
  FROM change c
  JOIN message m ON m.id = c.id
  JOIN route r ON r.id = m.route
  JOIN tenant t ON t.id = m.tenant
 WHERE c.seq > ?1 AND c.seq < ?reach AND (?2::text IS NULL OR t.name = ?2::text)
 ORDER BY c.seq
 LIMIT ?3;

-- name: change_old
-- What is not folded yet stays.
SELECT max(seq), count(*)
  FROM (SELECT seq, at FROM change WHERE seq <= (SELECT seq FROM folded) ORDER BY seq LIMIT ?2) AS oldest
 WHERE at < ?1;

-- name: folded_lock
-- Whoever tends holds this row; whoever comes meanwhile need not tend.
SELECT seq FROM folded FOR UPDATE SKIP LOCKED;

-- name: folded_wait
SELECT seq FROM folded FOR UPDATE;

-- name: fold_reach
-- A bounded bite, and nothing that a transaction still open could slip in below.
SELECT max(seq)
  FROM (SELECT seq FROM change WHERE seq > ? AND seq < (SELECT change_horizon()) ORDER BY seq LIMIT 200000) AS bite;

-- name: fold_read
-- Grouped before routes are looked up: a look for each kind of move, not for each move.
WITH moved AS (
    SELECT route, was, state, total, count(*) AS n
      FROM change
     WHERE seq > ?1 AND seq <= ?2
     GROUP BY route, was, state, total
), said AS (
    SELECT route, 'now' AS kind, was AS name, -n AS n FROM moved WHERE was IS NOT NULL
    UNION ALL
    SELECT route, 'now', state, n FROM moved WHERE state IS NOT NULL
    UNION ALL
    SELECT route, 'ever', total, n FROM moved WHERE total IS NOT NULL
)
SELECT r.queue, s.kind, s.name, sum(s.n)::bigint FROM said s JOIN route r ON r.id = s.route GROUP BY r.queue, s.kind, s.name;

-- name: folded_set
UPDATE folded SET seq = ?;

-- name: tally_add
INSERT INTO tally (queue, kind, name, n) VALUES (?, ?, ?, ?)
ON CONFLICT (queue, kind, name) DO UPDATE SET n = tally.n + excluded.n;

-- name: tally_list
-- What is folded, and what is not yet.
WITH moved AS (
    SELECT route, was, state, total, count(*) AS n
      FROM change
     WHERE seq > (SELECT seq FROM folded)
     GROUP BY route, was, state, total
), said AS (
    SELECT route, 'now' AS kind, was AS name, -n AS n FROM moved WHERE was IS NOT NULL
    UNION ALL
    SELECT route, 'now', state, n FROM moved WHERE state IS NOT NULL
    UNION ALL
    SELECT route, 'ever', total, n FROM moved WHERE total IS NOT NULL
), everything AS (
    SELECT r.queue, s.kind, s.name, s.n FROM said s JOIN route r ON r.id = s.route
    UNION ALL
    SELECT queue, kind, name, n FROM tally
)
SELECT queue, kind, name, sum(n)::bigint FROM everything GROUP BY queue, kind, name ORDER BY queue;

-- name: counting_take
DELETE FROM counting RETURNING name, n;

-- name: counter_add
INSERT INTO counter (name, n) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = counter.n + excluded.n;

-- name: counter_list
SELECT name, sum(n)::bigint
  FROM (SELECT name, n FROM counter UNION ALL SELECT name, n FROM counting) AS everything
 GROUP BY name;

-- name: spending_take
DELETE FROM spending
RETURNING day, tenant, key, agent, lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, held,
          saved_calls, saved;

-- name: spent_add
-- Adds up what calls have left aside; `ledger_add` is how they leave it.
INSERT INTO spent (day, tenant, key, agent, lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
                   cost, held, saved_calls, saved)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (day, tenant, key, agent, lane) DO UPDATE
   SET calls = spent.calls + excluded.calls, unpriced = spent.unpriced + excluded.unpriced,
       input_tokens = spent.input_tokens + excluded.input_tokens, output_tokens = spent.output_tokens + excluded.output_tokens,
       cached_tokens = spent.cached_tokens + excluded.cached_tokens,
       reasoning_tokens = spent.reasoning_tokens + excluded.reasoning_tokens,
       cost = spent.cost + excluded.cost, held = spent.held + excluded.held,
       saved_calls = spent.saved_calls + excluded.saved_calls, saved = spent.saved + excluded.saved;

-- name: lane_spent_add
INSERT INTO lane_spent (lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, saved_calls, saved)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (lane) DO UPDATE
   SET calls = lane_spent.calls + excluded.calls,
       unpriced = lane_spent.unpriced + excluded.unpriced,
       input_tokens = lane_spent.input_tokens + excluded.input_tokens,
       output_tokens = lane_spent.output_tokens + excluded.output_tokens,
       cached_tokens = lane_spent.cached_tokens + excluded.cached_tokens,
       reasoning_tokens = lane_spent.reasoning_tokens + excluded.reasoning_tokens,
       cost = lane_spent.cost + excluded.cost,
       saved_calls = lane_spent.saved_calls + excluded.saved_calls,
       saved = lane_spent.saved + excluded.saved;

-- name: tend_look
-- And whether there is enough to fold: whoever reads kept numbers adds up what is not. What is due is looked for from a moment
-- on; and how long that took is told by the server, since the way to it says nothing.
SELECT EXISTS (SELECT 1 FROM later WHERE at <= ?1 AND at >= ?2)
    OR EXISTS (SELECT 1 FROM waiting WHERE until <= ?1 AND until >= ?2)
    OR EXISTS (SELECT 1 FROM expiry WHERE kind = 'deadline' AND at <= ?1 AND at >= ?2)
    OR EXISTS (SELECT 1 FROM expiry WHERE kind = 'patience' AND at <= ?1 AND at >= ?2)
    OR EXISTS (SELECT 1 FROM expiry WHERE kind = 'held' AND at <= ?1 AND at >= ?2)
    OR EXISTS (SELECT 1 FROM cap WHERE swept IS NOT NULL OR at_once IS NULL)
    OR EXISTS (SELECT 1 FROM gate WHERE dirty = 1)
    OR EXISTS (SELECT 1 FROM chore WHERE at > 0 AND at <= ?1)
    OR EXISTS (SELECT 1 FROM route WHERE sweep_at <= ?1)
    OR EXISTS (SELECT 1 FROM route WHERE room_from IS NOT NULL)
    OR EXISTS (SELECT 1 FROM change WHERE seq > (SELECT seq FROM folded) ORDER BY seq OFFSET 500)
    OR EXISTS (SELECT 1 FROM counting OFFSET 200)
    OR EXISTS (SELECT 1 FROM spending OFFSET 200),
       extract(epoch FROM clock_timestamp() - statement_timestamp())::double precision;
