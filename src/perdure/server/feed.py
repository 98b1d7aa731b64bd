"""Who waits for a change is told, however many wait: one reader of the change sequence for them all.

Theory of operation: while anybody listens, one task follows the store's change sequence and hands each
change to the listeners that want it. A thousand callers in `?wait=60` thus cost one reader, and each
looks its message up only when that message moved. A listener hears everything that is committed after
`listen` gave it out; so listen first, then look.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeAlias

from perdure.errors.base import StoreError
from perdure.messages.store import Change, MessageStore

Wanted: TypeAlias = Callable[[Change], bool]
_LOOK_S = 10.0
_BATCH = 1000

__all__ = ["Feed", "Listener", "Wanted"]


class Listener:
    """What one caller waits for.

    Args:
        wanted (Wanted): Which changes.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._heard: deque[Change] = deque(maxlen=_BATCH)
        self._something = asyncio.Event()
        self._trouble: StoreError | None = None
        self.closing: bool = False
        """The server stops; nobody should go on waiting."""

    async def next(self, timeout_s: float) -> list[Change]:
        """Wait for changes.

        Args:
            timeout_s (float): Wait no longer than this.

        Returns:
            list[Change]: The newest wanted ones; empty if nothing happened in time or the server stops.

        Raises:
            StoreError: The store does not answer.
        """
        try:
            async with asyncio.timeout(max(timeout_s, 0)):
                await self._something.wait()
        except TimeoutError:
            return []
        if self._trouble is not None:
            raise self._trouble
        if not self.closing:
            self._something.clear()
        heard = list(self._heard)
        self._heard.clear()
        return heard

    def hear(self, changes: Iterable[Change]) -> None:
        """Take what happened.

        Args:
            changes (Iterable[Change]): In order.
        """
        mine = [change for change in changes if self._wanted(change)]
        if mine:
            self._heard.extend(mine)
            self._something.set()

    def end(self, trouble: StoreError | None = None) -> None:
        """Say that nothing more will be heard.

        Args:
            trouble (StoreError | None): Why; None when the server stops.
        """
        self._trouble = trouble
        self.closing = trouble is None
        self._something.set()


class Feed:
    """Follows the change sequence for everybody in this process.

    Args:
        messages (MessageStore): Whose changes.
    """

    def __init__(self, messages: MessageStore) -> None:
        self._messages = messages
        self._listeners: set[Listener] = set()
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self.closing: bool = False

    @asynccontextmanager
    async def listen(self, wanted: Wanted) -> AsyncIterator[Listener]:
        """Hear every wanted change that is committed from now on.

        Args:
            wanted (Wanted): Which.

        Yields:
            Listener: Ask it for the `next` ones.

        Raises:
            StoreError: The store does not answer.
        """
        listener = Listener(wanted)
        self._listeners.add(listener)
        try:
            await self._start()
            if self.closing:
                listener.end()
            yield listener
        finally:
            self._listeners.discard(listener)

    async def close(self) -> None:
        """Send every listener home; the server stops."""
        self.closing = True
        for listener in self._listeners:
            listener.end()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait((self._reader,))

    async def _start(self) -> None:
        async with self._starting:
            if self._reader is None or self._reader.done():
                last = await self._messages.last_change()
                self._reader = asyncio.create_task(self._follow(last), name="perdure-feed")

    async def _follow(self, last: int) -> None:
        try:
            while self._listeners and not self.closing:
                newest = await self._messages.changed(last, timeout_s=_LOOK_S)
                if newest > last:
                    last = await self._tell(last, newest)
        except StoreError as error:
            for listener in self._listeners:
                listener.end(error)
            self._listeners.clear()

    async def _tell(self, last: int, newest: int) -> int:
        changes = await self._messages.changes(last, limit=_BATCH)
        for listener in self._listeners:
            listener.hear(changes)
        return changes[-1].seq if changes else newest
