"""The contract of what an operator does to a store: bring it up to date, keep a copy, go back to one, look it over.

None of this needs a server, and nothing of it is done through a store that somebody has open.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

__all__ = ["Fault", "Restored", "Upgraded", "Upkeep"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that cannot be if the store is sound."""

    check: str
    """By which rule it was found: `places`, `counts`, `file`, …"""
    what: str
    """What is wrong, for people."""
    n: int
    """How often, as far as was counted."""
    examples: Sequence[str] = ()


class Upgraded(msgspec.Struct, frozen=True, kw_only=True):
    """What an upgrade did."""

    applied: Sequence[str]
    """The steps, by their names; empty where there was nothing to do."""
    backup: str | None = None
    """Where the copy from before it is."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did."""

    replaced: str | None
    """Where that which it took the place of is now; None where there was nothing."""


class Upkeep(Protocol):
    """Looks after one store, open or not.

    Raises:
        StoreBusy: From any method: others held the store too long.
        StoreUnsuitable: From any method: it is none of ours, damaged, or of a newer version.
    """

    async def pending(self) -> Sequence[str]:
        """List the steps that an upgrade would take.

        Returns:
            Sequence[str]: Their names in order; all there are where there is no store yet.
        """
        ...

    async def upgrade(self, *, backup: bool = True) -> Upgraded:
        """Bring it to the shape this version knows, or make it. Safe to be done by many at once.

        Args:
            backup (bool): Whether to keep a copy first, if there is anything to upgrade.

        Returns:
            Upgraded: What was done.

        Raises:
            StoreFull: There is no room for the copy; nothing was done.
            ConfigError: What makes the copy is not installed; nothing was done.
        """
        ...

    async def backup(self, to: Path) -> None:
        """Keep a copy of it as of one moment, while everybody goes on working.

        Args:
            to (Path): A new file, readable for its owner alone.

        Raises:
            Conflict: The file is there already.
            NotFound: There is no store to be copied.
            StoreFull: There is no room for it.
        """
        ...

    async def restore(self, source: Path) -> Restored:
        """Put a copy in its place; what was there is set aside.

        Args:
            source (Path): From `backup`.

        Returns:
            Restored: Where the other is now.

        Raises:
            NotFound: There is no such file.
            Conflict: Somebody uses the store: its servers and workers have to be stopped first.
        """
        ...

    async def verify(self) -> Sequence[Fault]:
        """Look the whole store over. Takes as long as reading all of it.

        Returns:
            Sequence[Fault]: Empty if it is sound.

        Raises:
            NotFound: There is no store.
            Conflict: It has to be upgraded first.
        """
        ...
