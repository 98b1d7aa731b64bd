"""Giving room back to the disk, once there is much of it: a file does not shrink by itself.

What is forgotten leaves free pages that later writes use first, and in a store at work that is all there is
to do. Only where a large part of the file is free - somebody discarded a million letters - its end is cut
off, a little at a time, so that nobody waits for it.
"""

from __future__ import annotations

import msgspec

from perdure.messages.retention import Keep, Tidied
from perdure.stores.sql.retention import SqlRetention
from perdure.stores.sql.statements import Statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqliteRetention"]

_GIVE_BACK = Statement("give_back", "PRAGMA incremental_vacuum(512)")
_MUCH = 0.25
_MUCH_BYTES = 16 * 1024 * 1024


class SqliteRetention(SqlRetention):
    """Forgets what has been kept long enough, and lets the file become smaller."""

    much_bytes: int = _MUCH_BYTES
    """So much may be free at least before room is given back."""

    async def tidy(self, keep: Keep, *, limit: int = 500) -> Tidied:
        """Forget one bite of it; where there is nothing more to forget, give room back."""
        tidied = await super().tidy(keep, limit=limit)
        if tidied.more or not await self._is_much_free():
            return tidied
        before = (await self.sizes())["free_bytes"]
        await self._engine.write(_give_back)
        gave = (await self.sizes())["free_bytes"] < before  # a file made without this in mind gives nothing
        return msgspec.structs.replace(tidied, more=gave)

    async def _is_much_free(self) -> bool:
        sizes = await self.sizes()
        return sizes["free_bytes"] > max(self.much_bytes, _MUCH * sizes["bytes"])


def _give_back(tx: Transaction) -> None:
    tx.run(_GIVE_BACK).fetchall()
