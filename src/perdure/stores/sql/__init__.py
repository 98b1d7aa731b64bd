"""What the SQL engines share: the moves of messages and the steps of runs, and their statements."""
