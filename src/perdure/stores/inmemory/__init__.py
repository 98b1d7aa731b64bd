"""The store that is gone with its process: for tests."""

from perdure.stores.inmemory.store import InMemoryStore

__all__ = ["InMemoryStore"]
