-- How long calls of models take, in buckets; and what each lane has used since the store began, kept and never counted.

CREATE TABLE measure (
    series text COLLATE "C" NOT NULL,   -- as `monitor/measures.py` writes it
    bucket bigint NOT NULL,
    n      bigint NOT NULL,
    total  double precision NOT NULL,   -- the sum of its values
    PRIMARY KEY (series, bucket)
);

CREATE TABLE lane_spent (
    lane             text PRIMARY KEY,
    calls            bigint NOT NULL,
    unpriced         bigint NOT NULL,
    input_tokens     bigint NOT NULL,
    output_tokens    bigint NOT NULL,
    cached_tokens    bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost             bigint NOT NULL,
    saved_calls      bigint NOT NULL,
    saved            bigint NOT NULL
);

INSERT INTO lane_spent (lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, saved_calls, saved)
SELECT lane, sum(calls), sum(unpriced), sum(input_tokens),
       sum(output_tokens), sum(cached_tokens), sum(reasoning_tokens),
       sum(cost), sum(saved_calls), sum(saved)
  FROM spent
 GROUP BY lane;

CREATE VIEW lane_ledger AS
SELECT lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, saved_calls, saved FROM lane_spent
UNION ALL
SELECT lane, calls, unpriced, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, saved_calls, saved FROM spending;
