-- What is spent, by day and account, and how much may be spent in a day.

CREATE TABLE spent (
    day              TEXT NOT NULL,     -- in UTC
    tenant           TEXT NOT NULL,
    key              TEXT NOT NULL,     -- that put the message; '' for none
    agent            TEXT NOT NULL,     -- '' for a call that is no step of a run
    lane             TEXT NOT NULL,     -- '' where recorded answers were replayed
    calls            INTEGER NOT NULL,
    unpriced         INTEGER NOT NULL,  -- calls whose cost is not known
    input_tokens     INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    cached_tokens    INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost             INTEGER NOT NULL,  -- in billionths of a US dollar, as all money
    held             INTEGER NOT NULL,  -- for calls under way, and for those whose cost was never known
    saved_calls      INTEGER NOT NULL,
    saved            INTEGER NOT NULL,
    PRIMARY KEY (day, tenant, key, agent, lane)
) STRICT, WITHOUT ROWID;

CREATE VIEW ledger AS SELECT * FROM spent;  -- another engine has rows aside that are not added up yet

CREATE TABLE budget (
    scope TEXT NOT NULL,                -- installation, tenant, key
    name  TEXT NOT NULL,                -- * is each without one of its own
    daily INTEGER,                      -- NULL is as much as it takes
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;
