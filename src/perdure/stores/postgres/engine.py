"""What the views of a store share on PostgreSQL: two pools, the clock, news, locks, and how a call is made.

Theory of operation. The shared logic is plain functions. A call takes a connection, begins a transaction in
REPEATABLE READ and runs its function in a greenlet (`bridge.py`). So it sees the database as of one moment, and
if another transaction was quicker at something it writes, it is made again from the start. If the connection is
lost before COMMIT was sent, nothing has happened, and it is made again on another one. If it is lost after that,
it is found out by a mark that the transaction leaves, so that callers hear the truth. Events are told and waiters
woken after the commit.

Whoever calls may be cancelled; the call itself is not. It ends in its own task, and its connection stays clean.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from perdure.clock import Clock, Moment, awake, chance
from perdure.errors.base import PerdureError, StoreClosed, StoreError
from perdure.events import tell
from perdure.messages.message import WorkerId
from perdure.stores.postgres.border import CONFLICT, FOREIGN, border, is_lost, translate
from perdure.stores.postgres.bridge import Runner, drive
from perdure.stores.postgres.clock import DatabaseClock
from perdure.stores.postgres.connection import Address
from perdure.stores.postgres.heart import PostgresHeart
from perdure.stores.postgres.locks import WorkerLocks
from perdure.stores.postgres.migrate import migrate
from perdure.stores.postgres.news import News
from perdure.stores.postgres.pool import Pool
from perdure.stores.postgres.tagging import TagBook
from perdure.stores.postgres.transaction import KeptNames, Mark, PostgresTransaction
from perdure.stores.postgres.writing import Unsure, answer_of, write_once

__all__ = ["Engine"]

T = TypeVar("T")
_ASK_S = 10.0
_SHORTEST_NAP_S, _LONGEST_NAP_S = 0.001, 0.25
_PATIENCE_AT_CLOSE_S = 10.0
_log = logging.getLogger("perdure.stores")


class Engine:
    """Opens and closes the connections, and takes the views' calls to them.

    Args:
        address (Address): Where the database is.
        clock (Clock | None): The store's only source of time; None is the database's.
        pool (int): How many connections there may be, for writing and reading together.
    """

    def __init__(self, address: Address, clock: Clock | None, *, pool: int) -> None:
        self.address: Address = address
        self._own_clock = DatabaseClock() if clock is None else None
        self._given_clock = clock
        self._pool = pool
        self.locks: WorkerLocks = WorkerLocks(address)
        self.outage_at: Moment | None = None
        """When this process last could not reach the store."""
        self.names: KeptNames = KeptNames(_never)
        """Routes and tenants that are committed."""
        self._calls: set[asyncio.Task[Any]] = set()
        self._asking: asyncio.Task[None] | None = None
        self._open: tuple[Pool, Pool, News, TagBook] | None = None
        self._closing = False

    @property
    def clock(self) -> Clock:
        """The store's only source of time."""
        clock = self._given_clock or self._own_clock
        assert clock is not None
        return clock

    @property
    def writing(self) -> Pool:
        """Connections to write with."""
        return self._parts()[0]

    @property
    def reading(self) -> Pool:
        """Connections to read with."""
        return self._parts()[1]

    @property
    def book(self) -> TagBook:
        """Draws tags."""
        return self._parts()[3]

    @property
    def news(self) -> News:
        """What has changed."""
        return self._parts()[2]

    async def open(self) -> None:
        """Open the database, creating or upgrading what is there."""
        await migrate(self.address)
        reading = max(1, self._pool // 3)
        self._open = (
            Pool(self.address, max(1, self._pool - reading)),
            Pool(self.address, reading),
            News(self.address),
            TagBook(Pool(self.address, 1), self.again),
        )
        self._closing = False
        try:
            with border():
                async with self.reading.take() as connection:
                    if self._own_clock is not None:
                        await self._own_clock.ask(connection)
                    await self.news.begin(connection)
        except BaseException:
            await self.close()
            raise
        if self._own_clock is not None:
            self._asking = asyncio.create_task(self._ask_again_and_again(self._own_clock))

    async def close(self) -> None:
        """Close it: what was accepted is on disk."""
        if self._open is None or self._closing:
            return
        self._closing = True
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._calls:
            await asyncio.wait(self._calls, timeout=_PATIENCE_AT_CLOSE_S)
        writing, reading, news, book = self._open
        self._open = None
        await book.close()
        await news.close()
        await self.locks.close()
        await writing.close()
        await reading.close()
        for call in self._calls:
            call.cancel()

    def heard(self) -> int:
        """Tell the newest change that this process has heard of."""
        return self.news.newest

    async def changed(self, after: int, timeout_s: float) -> int:
        """Wait for a change."""
        return await self.news.changed(after, timeout_s)

    def heart(self, worker: WorkerId) -> PostgresHeart:
        """Give a heartbeat thread what it needs."""
        return PostgresHeart(self.address, worker, given_clock=self._given_clock, on_outage=self._out)

    def write(self, fn: Callable[..., T], *given: Any, size_bytes: int = 0, **named: Any) -> asyncio.Future[T]:  # noqa: ARG002
        """Make a call in a transaction of its own.

        Args:
            fn (Callable[..., T]): Called as `fn(transaction, *given)` on the loop's thread; may be called again.
            *given (Any): What it is given.
            size_bytes (int): Roughly how much it writes; that is nothing to us.
            **named (Any): What else it is given.

        Returns:
            asyncio.Future[T]: Its result, once that is on disk.
        """
        isolation = "READ COMMITTED" if getattr(fn, "sees_latest", False) else "REPEATABLE READ"
        return self._begin(self._write(lambda transaction: fn(transaction, *given, **named), isolation))

    def read(self, fn: Callable[..., T], *given: Any) -> asyncio.Future[T]:
        """Make a call that reads, as of one moment.

        Args:
            fn (Callable[..., T]): Called as `fn(run, *given)` on the loop's thread.
            *given (Any): What it is given.

        Returns:
            asyncio.Future[T]: Its result.
        """
        isolation = "READ COMMITTED" if getattr(fn, "sees_latest", False) else "REPEATABLE READ"
        return self._begin(self._read(fn, given, isolation))

    def committed(self, newest: int, events: Sequence[tuple[str, dict[str, Any]]] = ()) -> None:
        """Hear of a commit of this process: tell its events, wake who waits here, ring for the others.

        Args:
            newest (int): Its newest change, 0 if it made none; only larger than what others have seen if known.
            events (Sequence[tuple[str, dict[str, Any]]]): What is to be told.
        """
        if self._open is not None and newest >= 0:
            self.news.committed()
        for name, facts in events:
            tell(name, **facts)

    async def again(self, attempt: Callable[[float], Any]) -> Any:
        """Make an attempt until it succeeds, fails for good, or `wait_s` is over.

        Args:
            attempt (Callable[[float], Any]): An async function; is given until when it may wait, by `awake()`. It must be safe to
                make again after a conflict or a lost connection: what raises those has left nothing.

        Returns:
            Any: What it returns.

        Raises:
            PerdureError: It failed.
        """
        until, nap_s = awake() + self.address.wait_s, _SHORTEST_NAP_S
        while True:
            try:
                return await attempt(until)
            except PerdureError as error:
                if type(error) is StoreError:  # the database is not to be reached
                    self._out()
                raise
            except FOREIGN as error:
                if not (isinstance(error, CONFLICT) or is_lost(error)) or awake() + nap_s >= until:
                    if is_lost(error):
                        self._out()
                    raise translate(error) from error
            await asyncio.sleep(nap_s * (0.5 + chance()))
            nap_s = min(2 * nap_s, _LONGEST_NAP_S)

    async def answer_of(self, mark: Mark, session: tuple[int, str]) -> list[int | None] | None:
        """Find out what became of a transaction whose answer was lost; if it is not committed, it never will be.

        Args:
            mark (Mark): What it leaves.
            session (tuple[int, str]): The server's process that had it, and that one's name.

        Returns:
            list[int | None] | None: What it has left as its answer; None if it was not committed.

        Raises:
            StoreError: The database stayed out of reach.
        """

        async def ask(until: float) -> list[int | None] | None:
            async with self.writing.take(until) as connection:
                return await answer_of(connection, mark, session, self.address)

        try:
            answer: list[int | None] | None = await self.again(ask)
        except StoreError as error:
            self._out()
            raise StoreError(
                "the database was lost in the middle of a commit, and nobody can say whether it happened",
                hint="Look at what is there before you repeat it; a `dedup_key` makes repeating a put harmless.",
            ) from error
        return answer

    async def _write(self, make: Callable[[PostgresTransaction], Any], isolation: str) -> Any:
        async def attempt(until: float) -> Any:
            async with self.writing.take(until) as connection:
                return await write_once(connection, make, self, isolation)

        while True:
            try:
                return await self.again(attempt)
            except Unsure as unsure:
                if await self.answer_of(unsure.mark, unsure.session) is not None:
                    self.committed(0, unsure.events)
                    return unsure.result

    async def _read(self, fn: Callable[..., Any], given: tuple[Any, ...], isolation: str) -> Any:
        async def attempt(until: float) -> Any:
            async with self.reading.take(until) as connection:
                await connection.execute(f"BEGIN ISOLATION LEVEL {isolation} READ ONLY;{self.address.preamble}")
                try:
                    return await drive(fn, Runner(connection).run, *given)
                finally:
                    if not connection.is_closed():
                        await connection.execute("ROLLBACK")

        return await self.again(attempt)

    def _begin(self, call: Any) -> asyncio.Future[Any]:
        if self._open is None or self._closing:
            call.close()
            raise _closed()
        task = asyncio.get_running_loop().create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return asyncio.shield(task)

    async def _ask_again_and_again(self, clock: DatabaseClock) -> None:
        while True:
            await asyncio.sleep(_ASK_S)
            try:
                async with self.reading.take() as connection:
                    await clock.ask(connection)
            except (PerdureError, *FOREIGN) as error:
                _log.info("the database's clock was not asked: %s", error)

    def _out(self) -> None:
        self.outage_at = self.clock.now()

    def _parts(self) -> tuple[Pool, Pool, News, TagBook]:
        if self._open is None:
            raise _closed()
        return self._open


def _closed() -> StoreClosed:
    return StoreClosed("the store is closed", hint="Use it inside its `async with` block.")


def _never(*_: Any) -> Any:
    raise AssertionError("what is shared is never asked to look anything up")
