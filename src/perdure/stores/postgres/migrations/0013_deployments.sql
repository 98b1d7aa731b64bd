-- A model may have several deployments: where a call's last try went, and the tries before that got no answer.

ALTER TABLE step ADD COLUMN lane text;
ALTER TABLE step ADD COLUMN failed_tries bytea;  -- JSON
