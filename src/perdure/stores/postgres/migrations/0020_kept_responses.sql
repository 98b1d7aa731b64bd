-- Responses of /v1/responses, for whoever goes on from one or asks for it again.

CREATE TABLE kept_response (
    id      text COLLATE "C" NOT NULL PRIMARY KEY,
    tenant  text COLLATE "C" NOT NULL,
    message bigint,                 -- which makes it in the background; NULL: it was answered at once
    said    bytea NOT NULL,         -- the response
    asked   bytea NOT NULL,         -- the items it answers
    at      double precision NOT NULL  -- when it was kept
);

CREATE INDEX kept_response_at ON kept_response (at);
