-- What was called off, by who works on it: each worker looks for that whenever something has changed, up to twenty times a
-- second, and must not walk all that is leased, or the dead entries of what was leased while somebody holds a transaction open.
-- SQLite needs none: there nothing dead lies among the few rows of `lease`.

CREATE INDEX lease_called_off ON lease (worker, id) WHERE called_off IS NOT NULL;
