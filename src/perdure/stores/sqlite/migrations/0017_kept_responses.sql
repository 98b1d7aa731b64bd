-- Responses of /v1/responses, for whoever goes on from one or asks for it again.

CREATE TABLE kept_response (
    id      TEXT NOT NULL PRIMARY KEY,
    tenant  TEXT NOT NULL,
    message INTEGER,                -- which makes it in the background; NULL: it was answered at once
    said    BLOB NOT NULL,          -- the response
    asked   BLOB NOT NULL,          -- the items it answers
    at      REAL NOT NULL           -- when it was kept
) STRICT;

CREATE INDEX kept_response_at ON kept_response (at);
