-- name: ledger_add
-- The row of a day and an account grows; what is held may shrink again.
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

-- name: ledger_of_all
SELECT coalesce(sum(cost + held), 0) FROM ledger WHERE day = ?;

-- name: ledger_of_tenant
SELECT coalesce(sum(cost + held), 0) FROM ledger WHERE day = ? AND tenant = ?;

-- name: ledger_of_key
SELECT coalesce(sum(cost + held), 0) FROM ledger WHERE day = ? AND key = ?;

-- name: ledger_list
SELECT day, tenant, key, agent, lane, sum(calls), sum(unpriced), sum(input_tokens), sum(output_tokens), sum(cached_tokens),
       sum(reasoning_tokens), sum(cost), sum(held), sum(saved_calls), sum(saved)
  FROM ledger
 WHERE day >= ? AND day <= ?
 GROUP BY day, tenant, key, agent, lane
 ORDER BY day, tenant, key, agent, lane;

-- name: ledger_list_of
SELECT day, tenant, key, agent, lane, sum(calls), sum(unpriced), sum(input_tokens), sum(output_tokens), sum(cached_tokens),
       sum(reasoning_tokens), sum(cost), sum(held), sum(saved_calls), sum(saved)
  FROM ledger
 WHERE day >= ? AND day <= ? AND tenant = ?
 GROUP BY day, tenant, key, agent, lane
 ORDER BY day, tenant, key, agent, lane;

-- name: ledger_lanes
-- Kept as calls are booked: as many rows as lanes, however long the ledger is.
SELECT '', '', '', '', lane, sum(calls), sum(unpriced), sum(input_tokens), sum(output_tokens), sum(cached_tokens),
       sum(reasoning_tokens), sum(cost), 0, sum(saved_calls), sum(saved)
  FROM lane_ledger
 GROUP BY lane
HAVING sum(calls) <> 0 OR sum(saved_calls) <> 0
 ORDER BY lane;

-- name: ledger_most_of_tenants
SELECT coalesce(max(gone), 0) FROM (SELECT sum(cost + held) AS gone FROM ledger WHERE day = ? AND tenant <> '' GROUP BY tenant) AS each;

-- name: ledger_most_of_keys
SELECT coalesce(max(gone), 0) FROM (SELECT sum(cost + held) AS gone FROM ledger WHERE day = ? AND key <> '' GROUP BY key) AS each;

-- name: ledger_forget
DELETE FROM spent WHERE day < ?;

-- name: budget_list
SELECT scope, name, daily FROM budget ORDER BY scope, name;

-- name: budget_set
INSERT INTO budget (scope, name, daily) VALUES (?, ?, ?) ON CONFLICT (scope, name) DO UPDATE SET daily = excluded.daily;

-- name: later_for_money
-- Those that wait for a day's money are due at midnight; what they wait for is in `wait`.
UPDATE later SET at = ?1
 WHERE id IN (SELECT id FROM later
               WHERE at >= ?2 AND at <= ?3 AND instr(CAST(wait AS TEXT), '"why":"budget-window"') > 0
                 AND (?4 = '' OR tenant = (SELECT id FROM tenant WHERE name = ?4))
               ORDER BY id LIMIT ?5);
