"""Messages, those included that users have put within their own transactions and nobody has moved yet."""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from perdure.errors.base import NotFound, StoreError
from perdure.messages.dead_letters import Edit
from perdure.messages.message import Attempt, MessageId, View
from perdure.messages.store import Tended
from perdure.security.audit import Actor
from perdure.stores.postgres import inbox
from perdure.stores.postgres.tending import Tending
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.messages import SqlMessages

__all__ = ["ReceivedMessages"]

T = TypeVar("T")
_BITES = 20
_log = logging.getLogger("perdure.stores")


class ReceivedMessages(SqlMessages):
    """Tends the inbox too, and moves at once whatever somebody asks for by its id.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._tending = Tending(engine, self._routes)
        self._receiving: asyncio.Task[None] | None = None

    async def tend(self) -> Tended:
        """Do what time demands, after what users have committed meanwhile was moved."""
        await self.receive()
        return await self._tending.tend()

    def hear(self) -> None:
        """Begin to move what is in the inbox, because somebody has rung; whoever rings meanwhile is heard too."""
        if self._receiving is None or self._receiving.done():
            self._receiving = asyncio.get_running_loop().create_task(self._receive_at_once())

    async def _receive_at_once(self) -> None:
        try:
            while await self.receive():
                pass
        except StoreError as error:
            _log.info("what was put within a transaction is moved a little later: %s", error)

    async def receive(self) -> int:
        """Move what is in the inbox.

        Returns:
            int: How many messages.
        """
        if not await self._engine.read(inbox.is_there):
            return 0
        moved = 0
        for _ in range(_BITES):
            bite = await self._engine.write(inbox.move)
            moved += bite
            if bite < inbox.BITE:
                break
        return moved

    async def get(self, id: MessageId, *, tenant: str | None = None) -> View:
        """Look at one message."""
        return await self._wherever(id, lambda: super(ReceivedMessages, self).get(id, tenant=tenant))

    async def cancel(self, id: MessageId, *, tenant: str | None = None, children: bool = True, by: Actor | None = None) -> View:
        """Call a message off."""
        return await self._wherever(id, lambda: super(ReceivedMessages, self).cancel(id, tenant=tenant, children=children, by=by))

    async def signal(self, id: MessageId, name: str, data: bytes, *, tenant: str | None = None, key: str | None = None) -> View:
        """Tell a message something, for which its run waits or will wait."""
        return await self._wherever(id, lambda: super(ReceivedMessages, self).signal(id, name, data, tenant=tenant, key=key))

    async def revive(self, id: MessageId, *, tenant: str | None = None, edit: Edit | None = None, by: Actor | None = None) -> View:
        """Give a dead letter another life with all its attempts, its journal kept."""
        return await self._wherever(id, lambda: super(ReceivedMessages, self).revive(id, tenant=tenant, edit=edit, by=by))

    async def attempts(self, id: MessageId) -> builtins.list[Attempt]:
        """List what went wrong with a message so far, oldest first."""
        return await self._wherever(id, lambda: super(ReceivedMessages, self).attempts(id))

    async def _wherever(self, id: MessageId, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except NotFound:
            if not await self._engine.read(inbox.holds, id) or not await self._engine.write(inbox.move_one, id):
                raise
        return await call()
