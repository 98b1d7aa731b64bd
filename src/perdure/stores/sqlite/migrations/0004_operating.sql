-- What operators do: who did what, how letters were edited, who paused, how far tidying has come.
--
-- Theory of operation. `audit` is only ever added to, in the transaction of what it speaks of. An edited
-- message is changed in its place and what it was before is kept in `edit`, so that whatever reads
-- messages need not know of edits. `pause` says of a pause that stands who wants it and why; whether it
-- stands is told where it always was, so that leasing reads nothing new.

CREATE TABLE audit (
    id          INTEGER PRIMARY KEY,
    at          REAL NOT NULL,
    who         TEXT NOT NULL,
    action      TEXT NOT NULL,
    target      TEXT NOT NULL,
    request     TEXT,
    details     BLOB
) STRICT;
CREATE INDEX audit_of_target ON audit (target, id);
CREATE INDEX audit_of_who ON audit (who, id);
CREATE INDEX audit_of_action ON audit (action, id);

CREATE TABLE edit (
    id          INTEGER PRIMARY KEY,
    message     INTEGER NOT NULL,
    at          REAL NOT NULL,
    who         TEXT NOT NULL,
    was         BLOB NOT NULL,          -- the fields that were changed, as they were before
    body        BLOB                    -- the body before, if it was changed
) STRICT;
CREATE INDEX edit_of ON edit (message, id);

CREATE TABLE pause (
    queue       TEXT PRIMARY KEY,       -- '' is everything
    at          REAL NOT NULL,
    who         TEXT,
    why         TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE tidying (                  -- how far a walk through old messages has come; those passed by are in `expiry`
    kind        TEXT PRIMARY KEY,
    reached     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO tidying VALUES ('message', 0), ('journal', 0);
