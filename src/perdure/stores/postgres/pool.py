"""A bounded number of connections, handed to one task at a time.

The one given back last is handed out first, so that few stay warm and the rest can be let go. Who finds
all of them taken waits in line. A connection that was broken, or given back in the middle of a transaction,
is thrown away and never handed to anybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from perdure.clock import awake, chance
from perdure.errors.base import StoreBusy, StoreClosed
from perdure.stores.postgres.border import FOREIGN, is_lost, translate
from perdure.stores.postgres.connection import Address, Connection, connect, discard, farewell

__all__ = ["Pool"]

_FULL = "53300"
_SHORTEST_NAP_S, _LONGEST_NAP_S = 0.02, 0.5


class Pool:
    """Connections for one purpose. Used on one loop.

    Args:
        address (Address): Where to.
        most (int): How many there may be.
    """

    def __init__(self, address: Address, most: int) -> None:
        self._address = address
        self.most: int = most
        self._idle: list[Connection] = []
        self._taken: set[Connection] = set()
        self._room = asyncio.Semaphore(most)
        self._closed = False
        self._trouble: BaseException | None = None
        """Why no connection could be opened lately: then those who wait in line wait for that."""

    @asynccontextmanager
    async def take(self, until: float | None = None) -> AsyncIterator[Connection]:
        """Borrow a connection.

        Args:
            until (float | None): Wait for one no longer than until then, by `awake()`; None is the store's `wait_s` from now.

        Yields:
            Connection: One that works, as far as anybody knows.

        Raises:
            StoreBusy: All are taken, or the server is full.
            StoreError: The server cannot be reached.
            StoreClosed: The store is closed.
        """
        until = awake() + self._address.wait_s if until is None else until
        await self._enter(until)
        try:
            connection = await self._find(until)
            self._taken.add(connection)
            try:
                yield connection
            finally:
                self._taken.discard(connection)
                self._give_back(connection)
        finally:
            self._room.release()

    async def close(self) -> None:
        """Close all of them; those in use are cut off."""
        self._closed = True
        for connection in list(self._taken):
            discard(connection)
        idle, self._idle = self._idle, []
        await asyncio.gather(*(farewell(connection) for connection in idle))

    async def _enter(self, until: float) -> None:
        if not self._room.locked():  # nearly always, and then a limit to the wait is nothing but work
            await self._room.acquire()
            return
        try:
            async with asyncio.timeout(max(0.0, until - awake())):
                await self._room.acquire()
        except TimeoutError:
            if self._trouble is not None:
                raise translate(self._trouble) from self._trouble
            raise StoreBusy(
                f"all {self.most} connections to the database were in use for too long", hint="Raise `store.pool`, or ask for less at once."
            ) from None

    async def _find(self, until: float) -> Connection:
        nap_s = _SHORTEST_NAP_S
        while not self._closed:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
            try:
                connection = await connect(self._address)
            except FOREIGN as error:
                self._trouble = error
                if not (is_lost(error) or getattr(error, "sqlstate", None) == _FULL) or awake() + nap_s >= until:
                    raise translate(error) from error
            else:
                self._trouble = None
                return connection
            await asyncio.sleep(nap_s * (0.5 + chance()))
            nap_s = min(2 * nap_s, _LONGEST_NAP_S)
        raise StoreClosed("the store is closed", hint="Use it inside its `async with` block.")

    def _give_back(self, connection: Connection) -> None:
        if self._closed or connection.is_closed() or connection.is_in_transaction():
            discard(connection)
        else:
            self._idle.append(connection)
