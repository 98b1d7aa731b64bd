"""A bounded number of connections, handed to one task at a time.

The one given back last is handed out first, so that few stay warm and the rest can be let go. Who finds
all of them taken waits in line. A connection that was broken, or given back in the middle of a transaction,
is thrown away and never handed to anybody else.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType

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

    def take(self, until: float | None = None) -> AbstractAsyncContextManager[Connection]:
        """Borrow a connection, for an `async with`.

        Args:
            until (float | None): Wait for one no longer than until then, by `awake()`; None is the store's `wait_s` from now.

        Returns:
            AbstractAsyncContextManager[Connection]: Gives one that works, as far as anybody knows, or raises `StoreBusy`: all are
                taken, or the server is full; `StoreError`: the server cannot be reached; `StoreClosed`: the store is closed.
        """
        return _Loan(self, awake() + self._address.wait_s if until is None else until)

    async def lend(self, until: float) -> Connection:
        """Hand a connection out.

        Args:
            until (float): Wait for one no longer than until then, by `awake()`.

        Returns:
            Connection: To be given back with `take_back`.
        """
        await self._enter(until)
        try:
            connection = await self._find(until)
        except BaseException:
            self._room.release()
            raise
        self._taken.add(connection)
        return connection

    def take_back(self, connection: Connection) -> None:
        """Take a connection back, whatever state it is in.

        Args:
            connection (Connection): That was lent.
        """
        try:
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


class _Loan:
    """What `async with pool.take()` enters. A generator would do, and costs each statement several microseconds more."""

    __slots__ = ("_connection", "_pool", "_until")

    def __init__(self, pool: Pool, until: float) -> None:
        self._pool, self._until = pool, until

    async def __aenter__(self) -> Connection:
        self._connection = await self._pool.lend(self._until)
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.take_back(self._connection)
