-- name: outcome_of_dead
SELECT started_at, usage FROM outcome WHERE id = ?;
