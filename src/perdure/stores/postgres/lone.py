"""A put by a lone caller, of which nothing but its turn is to be said: straight to the database.

Whoever comes while nothing is under way would find nobody to share a batch with, so no batch is made. Who comes
meanwhile is gathered as ever, and goes with the others.
"""

from __future__ import annotations

import asyncio

import msgspec

from perdure.events import heard
from perdure.messages.message import NewMessage, Receipt
from perdure.stores.postgres.hot import Event, Ground, hot
from perdure.stores.postgres.kinds import Kinds
from perdure.stores.postgres.limits import KnownLimits
from perdure.stores.postgres.marked import write

__all__ = ["PUT", "LonePut", "born"]

PUT = "message.put"
_ONE = hot("put_one")
_encode = msgspec.json.Encoder().encode


class LonePut:
    """Puts one message at a time.

    Args:
        ground (Ground): The engine.
        kinds (Kinds): What messages have in common.
        limits (KnownLimits): Which there are.
    """

    def __init__(self, ground: Ground, kinds: Kinds, limits: KnownLimits) -> None:
        self._ground, self._kinds, self._limits = ground, kinds, limits
        self._under_way: asyncio.Future[None] | None = None

    def fits(self, new: NewMessage) -> bool:
        """Tell whether a message can be put like that just now.

        Args:
            new (NewMessage): Which.

        Returns:
            bool: False also while another is under way.
        """
        if self._under_way is not None or new.cost != 1 or new.parent is not None or new.session is not None:
            return False
        return new.key is None and new.dedup_key is None and new.due_at is None and new.deadline is None

    async def put(self, new: NewMessage) -> Receipt:
        """Put a message that fits.

        Args:
            new (NewMessage): Which.

        Returns:
            Receipt: Once it is on disk.
        """
        ended = self._under_way = asyncio.get_running_loop().create_future()
        try:
            return await self._put(new)
        finally:
            self._under_way = None
            ended.set_result(None)

    async def close(self) -> None:
        """Wait for the one that is under way."""
        if self._under_way is not None:
            await asyncio.shield(self._under_way)

    async def _put(self, new: NewMessage) -> Receipt:
        now, book = self._ground.clock.now(), self._ground.book
        kind = await self._kinds.of(new, now)
        tag = book.draw_own(kind.line, kind.cost)
        if tag is None:
            [tag] = await book.draw([(kind.line, kind.cost)])
        metadata = _encode(new.metadata) if new.metadata else None
        said = (kind.tenant, kind.route, kind.priority, kind.attempts, new.timeout_s, kind.max_wait_s, metadata, new.body, tag)
        [(number, newest, version)] = await write(self._ground, _ONE, now, *said)
        self._limits.heard(version)
        self._ground.committed(newest, [born(number, new)] if heard(PUT) else ())
        return Receipt(number)


def born(id: int, new: NewMessage) -> Event:
    """Say of a message that it has been put.

    Args:
        id (int): Its number.
        new (NewMessage): It.

    Returns:
        Event: To be told once it is on disk.
    """
    facts = {"message": id, "agent": new.agent, "queue": new.queue, "tenant": new.tenant, "attempt": 0, "code": None}
    return PUT, facts
