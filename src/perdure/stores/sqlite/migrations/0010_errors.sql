-- What went wrong, counted: lines of errors that differ in values alone, and how often they came in each hour.

CREATE TABLE error_line (
    id       INTEGER PRIMARY KEY,       -- made of the card
    family   INTEGER NOT NULL,          -- lines of one place; only so many of them are told apart
    card     BLOB NOT NULL,             -- where it came from, and the message with marks in the place of values
    n        INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at  REAL NOT NULL,
    sample   TEXT NOT NULL,
    hint     TEXT
) STRICT;
CREATE INDEX error_line_family ON error_line (family);
CREATE INDEX error_line_last ON error_line (last_at);

CREATE TABLE error_hour (
    hour INTEGER NOT NULL,              -- since 1970
    line INTEGER NOT NULL,
    n    INTEGER NOT NULL,
    PRIMARY KEY (hour, line)
) STRICT, WITHOUT ROWID;
