-- What limited lanes have lent, one book each; apart from `lane`, which every lease reads and which seldom changes.

CREATE TABLE lane_book (
    name        TEXT PRIMARY KEY,       -- provider/model
    book        BLOB NOT NULL           -- as `providers/book.py` writes it
) STRICT, WITHOUT ROWID;
