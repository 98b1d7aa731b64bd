"""`/api/v1/*`: our own door."""
