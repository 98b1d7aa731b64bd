"""What an agent keeps between runs: the simple door, and the contract behind it.

`MemoryManager` is the simple, synchronous one: any object with its four methods plugs in. `Memory` is
the store's own, asynchronous and divided into spaces, which `run.memory` uses so that a write commits
together with the step that made it. Proved by `perdure.testing.MemoryKit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

__all__ = ["Memory", "MemoryManager"]


@runtime_checkable
class MemoryManager(Protocol):
    """Keeps plain data by key."""

    def store(self, key: str, data: Any) -> None:
        """Keep something.

        Args:
            key (str): Under which name.
            data (Any): Anything that JSON can say.

        Raises:
            InvalidInput: JSON cannot say it.
        """
        ...

    def retrieve(self, key: str) -> Any | None:
        """Get it back.

        Args:
            key (str): Its name.

        Returns:
            Any | None: What was stored last; None if nothing is.
        """
        ...

    def clear(self, key: str | None = None) -> None:
        """Forget one thing, or all.

        Args:
            key (str | None): Its name; None for everything.
        """
        ...

    def get_stats(self) -> dict[str, Any]:
        """Say how much is kept.

        Returns:
            dict[str, Any]: At least `entries` (how many) and `size_bytes`.
        """
        ...


class Memory(Protocol):
    """The store's memory, by tenant and space. Values are JSON bytes."""

    async def read(self, tenant: str, space: str, key: str) -> bytes | None:
        """Read a value.

        Args:
            tenant (str): Whose.
            space (str): Usually the agent's name.
            key (str): Which.

        Returns:
            bytes | None: JSON; None if there is none.
        """
        ...

    async def write(self, tenant: str, space: str, key: str, value: bytes) -> None:
        """Write a value from outside any run (runs write through the journal).

        Args:
            tenant (str): Whose.
            space (str): Usually the agent's name.
            key (str): Which.
            value (bytes): JSON.
        """
        ...

    async def clear(self, tenant: str, space: str, key: str | None = None) -> None:
        """Forget one value, or a whole space.

        Args:
            tenant (str): Whose.
            space (str): Usually the agent's name.
            key (str | None): Which; None for all.
        """
        ...

    async def stats(self, tenant: str, space: str) -> Mapping[str, int]:
        """Say how much a space holds.

        Args:
            tenant (str): Whose.
            space (str): Usually the agent's name.

        Returns:
            Mapping[str, int]: `entries` and `size_bytes`.
        """
        ...
