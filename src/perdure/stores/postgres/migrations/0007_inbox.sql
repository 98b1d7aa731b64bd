-- What is put within a user's own transaction.
--
-- A put there must neither wait for rows of ours nor make others wait for the user's commit, however late
-- that comes. So it only adds a row here, which nobody else touches; once it is committed, whoever tends the
-- store moves it to where messages lie. Two transactions that use one dedup key at the same time do wait for
-- each other, as they would for any unique key: the second then gets the first one's message.

CREATE TABLE inbox (
    id          bigint PRIMARY KEY,     -- the message's, drawn from `number`
    tenant      text COLLATE "C" NOT NULL,
    dedup_key   text COLLATE "C",
    message     bytea NOT NULL          -- JSON
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0,
        vacuum_truncate = off);
CREATE UNIQUE INDEX inbox_dedup ON inbox (tenant, dedup_key) WHERE dedup_key IS NOT NULL;
