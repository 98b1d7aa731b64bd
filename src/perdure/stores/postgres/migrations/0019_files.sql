-- Files in pieces: what callers hand in to be worked on line by line, and what is handed back to them.

CREATE TABLE kept_file (
    id         text COLLATE "C" PRIMARY KEY,
    tenant     text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    purpose    text COLLATE "C" NOT NULL,
    state      text COLLATE "C" NOT NULL,      -- open: being written, unseen; kept: whole; gone: deleted, its pieces will follow
    size       bigint NOT NULL,
    pieces     integer NOT NULL,
    created_at double precision NOT NULL,
    goes_at    double precision                -- when it goes: a kept one expires then, an open one counts as abandoned
);

CREATE INDEX kept_file_by_age ON kept_file (created_at, id);
CREATE INDEX kept_file_goes ON kept_file (goes_at) WHERE goes_at IS NOT NULL;

CREATE TABLE file_piece (
    file   text COLLATE "C" NOT NULL,
    number integer NOT NULL,       -- from 0
    data   bytea NOT NULL,
    PRIMARY KEY (file, number)
);
