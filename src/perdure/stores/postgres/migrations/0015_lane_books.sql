-- What limited lanes have lent, one book each; apart from `lane`, which every lease reads and which seldom changes.
-- A book is written many times a second and is smaller than what is stored elsewhere: room beside it keeps its page short.

CREATE TABLE lane_book (
    name        text COLLATE "C" PRIMARY KEY,   -- provider/model
    book        bytea NOT NULL                  -- as `providers/book.py` writes it
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);
ALTER TABLE lane_book ALTER COLUMN book SET STORAGE MAIN;
