-- Files in pieces: what callers hand in to be worked on line by line, and what is handed back to them.

CREATE TABLE kept_file (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    state      TEXT NOT NULL,      -- open: being written, unseen; kept: whole; gone: deleted, its pieces will follow
    size       INTEGER NOT NULL,
    pieces     INTEGER NOT NULL,
    created_at REAL NOT NULL,
    goes_at    REAL                -- when it goes: a kept one expires then, an open one counts as abandoned
) STRICT;

CREATE INDEX kept_file_by_age ON kept_file (created_at, id);
CREATE INDEX kept_file_goes ON kept_file (goes_at) WHERE goes_at IS NOT NULL;

CREATE TABLE file_piece (
    file   TEXT NOT NULL,
    number INTEGER NOT NULL,       -- from 0
    data   BLOB NOT NULL,
    PRIMARY KEY (file, number)
) STRICT;
