-- What is spent, by day and account, and how much may be spent in a day. Calls add rows to `spending`, so that none waits
-- for another; whoever folds kept numbers adds them up in `spent`.

CREATE TABLE spent (
    day              text NOT NULL,     -- in UTC
    tenant           text NOT NULL,
    key              text NOT NULL,     -- that put the message; '' for none
    agent            text NOT NULL,     -- '' for a call that is no step of a run
    lane             text NOT NULL,     -- '' where recorded answers were replayed
    calls            bigint NOT NULL,
    unpriced         bigint NOT NULL,   -- calls whose cost is not known
    input_tokens     bigint NOT NULL,
    output_tokens    bigint NOT NULL,
    cached_tokens    bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost             bigint NOT NULL,   -- in billionths of a US dollar, as all money
    held             bigint NOT NULL,   -- for calls under way, and for those whose cost was never known
    saved_calls      bigint NOT NULL,
    saved            bigint NOT NULL,
    PRIMARY KEY (day, tenant, key, agent, lane)
);

CREATE TABLE spending (LIKE spent);

CREATE VIEW ledger AS SELECT * FROM spent UNION ALL SELECT * FROM spending;

CREATE TABLE budget (
    scope text NOT NULL,                -- installation, tenant, key
    name  text NOT NULL,                -- * is each without one of its own
    daily bigint,                       -- NULL is as much as it takes
    PRIMARY KEY (scope, name)
);
