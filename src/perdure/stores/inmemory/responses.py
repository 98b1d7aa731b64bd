"""Kept responses, in memory."""

from __future__ import annotations

from perdure.errors.base import NotFound
from perdure.messages.responses import KeptResponse, ResponseStore
from perdure.stores.inmemory.contents import Contents

__all__ = ["InMemoryResponses"]


class InMemoryResponses(ResponseStore):
    """Keeps responses by their id.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def keep(self, response: KeptResponse) -> None:
        """Keep a response; one that is there already stays as it is."""
        with self._contents.open() as now:
            self._contents.responses.setdefault(response.id, (now, response))

    async def get(self, id: str, *, tenant: str | None) -> KeptResponse:
        """Give a response."""
        with self._contents.open():
            return self._found(id, tenant)

    async def drop(self, id: str, *, tenant: str | None) -> None:
        """Forget a response."""
        with self._contents.open():
            del self._contents.responses[self._found(id, tenant).id]

    def _found(self, id: str, tenant: str | None) -> KeptResponse:
        _, kept = self._contents.responses.get(id, (0.0, None))
        if kept is None or tenant not in (None, kept.tenant):
            raise NotFound(f"there is no response {id[:80]!r}", hint="It was never stored, was deleted, or its time is up.")
        return kept
