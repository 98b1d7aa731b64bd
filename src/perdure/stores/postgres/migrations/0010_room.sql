-- Who lies ready under a limit on a route where nothing can start gives its place to others; many do so in bites.

ALTER TABLE route ADD COLUMN room_from bigint;  -- how far that look has come; NULL: there is none
CREATE INDEX route_room ON route (id) WHERE room_from IS NOT NULL;
UPDATE route SET room_from = 0 WHERE blocked_since IS NOT NULL AND quarantine = 0;
