-- How providers are, as looks on a schedule find them.

CREATE TABLE provider_health (
    name   TEXT PRIMARY KEY,
    due_at REAL NOT NULL,   -- when the next look is due; whoever takes it moves it on
    card   BLOB NOT NULL    -- as `providers/health.py` writes it
) STRICT, WITHOUT ROWID;
