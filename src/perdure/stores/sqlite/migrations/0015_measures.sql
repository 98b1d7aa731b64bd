-- How long calls of models take, in buckets; and what each lane has used since the store began, kept and never counted.

CREATE TABLE measure (
    series TEXT NOT NULL,       -- as `monitor/measures.py` writes it
    bucket INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    total  REAL NOT NULL,       -- the sum of its values
    PRIMARY KEY (series, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE lane_spent (
    lane             TEXT PRIMARY KEY,
    calls            INTEGER NOT NULL,
    unpriced         INTEGER NOT NULL,
    input_tokens     INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    cached_tokens    INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost             INTEGER NOT NULL,
    saved_calls      INTEGER NOT NULL,
    saved            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO lane_spent (lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, saved_calls, saved)
SELECT lane, sum(calls), sum(unpriced), sum(input_tokens),
       sum(output_tokens), sum(cached_tokens), sum(reasoning_tokens),
       sum(cost), sum(saved_calls), sum(saved)
  FROM spent
 GROUP BY lane;

CREATE TRIGGER spent_began AFTER INSERT ON spent WHEN NEW.calls <> 0 OR NEW.saved_calls <> 0 BEGIN
    INSERT INTO lane_spent (lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, saved_calls, saved)
    VALUES (NEW.lane, NEW.calls, NEW.unpriced, NEW.input_tokens, NEW.output_tokens, NEW.cached_tokens, NEW.reasoning_tokens, NEW.cost, NEW.saved_calls, NEW.saved)
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
END;

CREATE TRIGGER spent_grew AFTER UPDATE ON spent WHEN NEW.calls <> OLD.calls OR NEW.saved_calls <> OLD.saved_calls BEGIN
    INSERT INTO lane_spent (lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, saved_calls, saved)
    VALUES (NEW.lane,
            NEW.calls - OLD.calls,
            NEW.unpriced - OLD.unpriced,
            NEW.input_tokens - OLD.input_tokens,
            NEW.output_tokens - OLD.output_tokens,
            NEW.cached_tokens - OLD.cached_tokens,
            NEW.reasoning_tokens - OLD.reasoning_tokens,
            NEW.cost - OLD.cost,
            NEW.saved_calls - OLD.saved_calls,
            NEW.saved - OLD.saved)
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
END;

CREATE VIEW lane_ledger AS SELECT * FROM lane_spent;  -- another engine has rows aside that are not added up yet
