-- Where rows come and go as fast as messages do, what has gone is made room of early and at full speed: else what is kept
-- for an hour takes the room of a day. What is kept for long may have a twentieth of it dead, not a fifth.

ALTER TABLE change SET (autovacuum_vacuum_cost_delay = 0);
ALTER TABLE mark SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE message SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE outcome SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE dedup SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE request SET (autovacuum_vacuum_scale_factor = 0.05);
