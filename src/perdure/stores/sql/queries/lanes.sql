-- name: book_get
SELECT book FROM lane_book WHERE name = ?;

-- name: book_add
-- Somebody else may begin it at the same moment.
INSERT OR IGNORE INTO lane_book (name, book) VALUES (?, ?);

-- name: book_set
UPDATE lane_book SET book = ?2 WHERE name = ?1;

-- name: book_list
SELECT b.name, b.book, l.closed_until, l.why FROM lane_book b LEFT JOIN lane l ON l.name = b.name ORDER BY b.name;
