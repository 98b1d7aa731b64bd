-- How providers are, as looks on a schedule find them.

CREATE TABLE provider_health (
    name   text COLLATE "C" PRIMARY KEY,
    due_at double precision NOT NULL,   -- when the next look is due; whoever takes it moves it on
    card   bytea NOT NULL    -- as `providers/health.py` writes it
);
