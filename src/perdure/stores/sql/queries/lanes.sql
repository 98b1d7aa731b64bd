-- name: book_get
SELECT book FROM lane_book WHERE name = ?;

-- name: book_add
-- Somebody else may begin it at the same moment.
INSERT OR IGNORE INTO lane_book (name, book) VALUES (?, ?);

-- name: book_set
UPDATE lane_book SET book = ?2 WHERE name = ?1;

-- name: book_list
SELECT b.name, b.book, l.closed_until, l.why FROM lane_book b LEFT JOIN lane l ON l.name = b.name ORDER BY b.name;

-- name: lane_shut
-- Those that are closed and have no book.
SELECT name, closed_until, why FROM lane WHERE closed_until > ? AND name NOT IN (SELECT name FROM lane_book) ORDER BY name;

-- name: lane_open
UPDATE lane SET closed_until = ?2, why = ?3 WHERE name = ?1 AND closed_until > ?2 RETURNING name;

-- name: lane_parked
-- What its messages wait for is in `wait`.
SELECT l.id, l.wait FROM later l JOIN route r ON r.id = l.route WHERE r.lane = ?1 AND l.at > ?2 AND l.wait IS NOT NULL ORDER BY l.id LIMIT ?3;

-- name: later_sooner
UPDATE later SET at = ?2 WHERE id = ?1 AND at > ?2;
