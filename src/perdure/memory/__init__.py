"""What agents keep between runs."""
