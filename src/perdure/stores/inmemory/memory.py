"""What agents keep between runs, in memory."""

from __future__ import annotations

from perdure.memory.manager import Memory
from perdure.stores.inmemory.contents import Contents

__all__ = ["InMemoryMemory"]


class InMemoryMemory(Memory):
    """Keeps values by tenant and space.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def read(self, tenant: str, space: str, key: str) -> bytes | None:
        """Read a value."""
        with self._contents.open():
            return self._contents.memory.get((tenant, space), {}).get(key)

    async def write(self, tenant: str, space: str, key: str, value: bytes) -> None:
        """Write a value from outside any run."""
        with self._contents.open():
            self._contents.memory.setdefault((tenant, space), {})[key] = value

    async def clear(self, tenant: str, space: str, key: str | None = None) -> None:
        """Forget one value, or a whole space."""
        with self._contents.open():
            kept = self._contents.memory.get((tenant, space), {})
            if key is None:
                kept.clear()
            else:
                kept.pop(key, None)

    async def stats(self, tenant: str, space: str) -> dict[str, int]:
        """Say how much a space holds."""
        with self._contents.open():
            kept = self._contents.memory.get((tenant, space), {})
            return {"entries": len(kept), "size_bytes": sum(len(value) for value in kept.values())}
