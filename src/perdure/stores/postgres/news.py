"""Hearing of changes: of this process at once, of others by NOTIFY, and by looking.

A process that waits for changes, or makes some, has one connection for it, its ear. NOTIFY is never part of
a put's transaction, since PostgreSQL commits such transactions one after the other: it is sent from here
afterwards, a hundred times a second at most, and only if another process listens. Whoever waits also looks now and then,
so a lost notification costs half a second and no more.

What is told to waiters is the number below which nothing can appear any more (`change_horizon`). A change of
a transaction that began before another's and commits after it is thus never passed over; while one is known
to be held back like that, the ear looks again every few milliseconds. Who waits is woken all the same, without
a newer number: a worker can lease what has been put.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from perdure.clock import chance
from perdure.errors.base import PerdureError
from perdure.resources.token_bucket import TokenBucket
from perdure.stores.postgres.border import FOREIGN
from perdure.stores.postgres.connection import Address, Connection, connect, farewell
from perdure.stores.postgres.dialect import own, text_of

__all__ = ["INBOX", "News"]

_NEWEST, _REACH, _RING = (text_of(own(name)).text for name in ("news_look", "change_reach", "ring"))
_RINGS_PER_S, _RINGS_AT_ONCE = 100.0, 5.0
_LOOK_S, _LOOK_DEAF_S = 1.0, 0.4
_LOOKS, _HELD_BACK_S = 3, 0.005
_IDLE_S = 60.0
_TROUBLE_S = 0.25
_ANSWER_S = 10.0
INBOX = "inbox"
_EARS, _NAME = "ears", "SELECT set_config('application_name', $1, false)"
_log = logging.getLogger("perdure.stores")


class News:
    """Knows the newest change and who waits for the next. Used on one loop.

    Args:
        address (Address): Where the database is.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self.newest: int = 0
        """Below it nothing appears any more."""
        self._topmost = 0
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._stir = asyncio.Event()
        self._to_ring = False
        self._to_look = 0
        self._rings = TokenBucket(rate_per_s=_RINGS_PER_S, burst=_RINGS_AT_ONCE)
        self._listens = False
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.on_inbox: Callable[[], object] = _nothing
        """Called when a user has rung for what they have put within a transaction of theirs."""

    async def begin(self, connection: Connection) -> None:
        """Look for the first time.

        Args:
            connection (Connection): Any.
        """
        if self._address.preamble:
            await connection.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;{self._address.preamble}")
            await self._see(connection)
            await connection.execute("COMMIT")
        else:
            await self._see(connection)  # two statements need no transaction, and whoever waits for them waits half as long

    async def _see(self, connection: Connection) -> None:
        [(self.newest, self._topmost)] = await connection.fetch(_NEWEST, await connection.fetchval(_REACH))

    async def changed(self, after: int, timeout_s: float) -> int:
        """Wait for a change.

        Args:
            after (int): The newest change the caller knows.
            timeout_s (float): Wait no longer than this.

        Returns:
            int: The newest change; `after` if nothing happened in time.
        """
        if self.newest > after:
            return self.newest
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = after
        self._wake()
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            pass
        finally:
            del self._waiting[waiter]
        return max(self.newest, after)

    def committed(self) -> None:
        """Hear that this process has committed a change."""
        if self._to_ring and not self._waiting:
            return  # it is about to ring anyway, and nobody here has to hear of it
        self._to_ring = self._address.flags.listen
        if self._to_ring or self._waiting:
            self._to_look = _LOOKS
            self._wake()

    async def close(self) -> None:
        """Ring a last time if that is due, and wait for nothing any more."""
        self._closing = True
        self._stir.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2.0)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _wake(self) -> None:
        self._stir.set()
        if self._task is None and not self._closing:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while not self._closing:
            connection: Connection | None = None
            self._listens = False
            try:
                connection = await connect(self._address, role="news", answer_s=_ANSWER_S)
                await self._hear_and_tell(connection)
            except (PerdureError, *FOREIGN) as error:
                _log.warning("changes of other processes are not heard for %.2f s: %s", _TROUBLE_S, error)
            finally:
                if connection is not None:
                    await farewell(connection)
            if not self._closing:
                await asyncio.sleep(_TROUBLE_S * (0.5 + chance()))

    async def _hear_and_tell(self, connection: Connection) -> None:
        while not self._closing or self._to_ring:
            if self._to_ring:
                await self._ring(connection)
            if self._waiting:
                await self._listen(connection)
                await self._look(connection)
            if not self._closing:
                await self._rest(self._how_long())

    def _how_long(self) -> float:
        if self._to_ring:
            return self._rings.wait_s()
        if not self._waiting:
            return _IDLE_S
        if self._to_look > 0:
            return _HELD_BACK_S
        return (_LOOK_S if self._listens else _LOOK_DEAF_S) * (0.5 + chance() / 2)

    async def _rest(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._stir.wait()
        except TimeoutError:
            return
        self._stir.clear()

    async def _ring(self, connection: Connection) -> None:
        if not (self._rings.try_take() or self._closing):
            return
        self._to_ring = False
        await connection.fetch(_RING, f"perdure.{self._address.schema}", "", f"{self._address.application} {_EARS}")

    async def _listen(self, connection: Connection) -> None:
        if self._address.flags.listen and not self._listens:
            await connection.add_listener(f"perdure.{self._address.schema}", self._rung)
            await connection.execute(_NAME, f"{self._address.application} {_EARS}")  # so that others know that it is worth to ring
            self._listens = True

    def _rung(self, connection: object, pid: int, channel: str, payload: object) -> None:  # noqa: ARG002  # as asyncpg calls it
        if payload == INBOX:
            self.on_inbox()
        self._to_look = _LOOKS
        self._stir.set()

    async def _look(self, connection: Connection) -> None:
        before, topmost = self.newest, self._topmost
        self._to_look -= 1
        await self.begin(connection)
        self.newest = max(self.newest, before)
        for waiter, after in self._waiting.items():
            if (self.newest > after or self._topmost > topmost) and not waiter.done():
                waiter.set_result(None)
        if self.newest > before:
            self._to_look = 0


def _nothing() -> None:
    """Nobody wants to know."""
