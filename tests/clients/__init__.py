"""Programs of others, unmodified, as clients of a running server."""
