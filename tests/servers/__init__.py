"""Servers for tests: PostgreSQL, shared and private, and a proxy that breaks connections."""
