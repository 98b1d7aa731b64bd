"""The store that is gone with its process: for tests."""
