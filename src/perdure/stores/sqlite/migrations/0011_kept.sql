-- What nearly every transaction counts, on one page.
--
-- Theory of operation. A commit writes whole pages, so three small tables that change together cost a lone put three
-- pages where one would do. `sequence` is not written by a transaction that only puts: what it drew can be read from
-- the newest rows of `message` and `change`, until a transaction that writes it for other reasons comes by.

CREATE TABLE kept (
    what        TEXT NOT NULL,          -- tally: messages by queue and state, and totals; fair: a tenant's last tag
    a           ANY NOT NULL,           -- tally: queue;                                    fair: route
    b           ANY NOT NULL,           -- tally: now in that state, or ever since it began; fair: tenant
    c           ANY NOT NULL,           -- tally: which state or total;                     fair: priority
    d           ANY NOT NULL,           -- tally: nothing, 0;                               fair: 1 for those that come back
    n           INTEGER NOT NULL,
    PRIMARY KEY (what, a, b, c, d)
) STRICT, WITHOUT ROWID;
INSERT INTO kept SELECT 'tally', queue, kind, name, 0, n FROM tally;
INSERT INTO kept SELECT 'fair', route, tenant, priority, again, last FROM fair;
DROP TABLE tally;
DROP TABLE fair;
