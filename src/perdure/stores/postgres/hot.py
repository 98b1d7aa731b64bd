"""What the hot calls share: one statement, which is one transaction, for all that many callers want at once.

Theory of operation. Nearly all that a store does is put, lease, end and journal messages that nothing
special stands in the way of. For these there is one statement each, set-based and optimistic: it is given
the wishes of many callers, does those that can be done as usual, and returns which these were. Each
statement is a transaction of its own in READ COMMITTED, so a batch is one round trip and one wait for
the disk. What a statement left undone - the lease is stale, the step was begun before, a limit holds a
slot - goes message by message through the functions that both engines share, in a transaction of its
own; they do it, or say why not. So the statements need not know the rules of the rare, only to keep
their hands off.

Why READ COMMITTED is enough: a message's place is a row (`ready`, `lease`, …), and whoever deletes that row
moves the message. Of two who want the same row, the second waits, then finds it gone and does nothing.
Rows that are only relied upon (the worker who leases, the lease under which a step is written) are locked
FOR SHARE. Whatever several rows are locked of one table by a statement is locked in the order of its
key, the callers' wishes having been sorted, so that no two batches wait for each other in a circle; should
others lock otherwise, PostgreSQL ends one of them, and it is made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from perdure.clock import Clock
from perdure.errors.base import PerdureError, StoreError
from perdure.stores.postgres.connection import Address, Connection
from perdure.stores.postgres.flags import Flags
from perdure.stores.sql.statements import read_all

__all__ = ["Event", "Ground", "ask", "columns", "each_apart", "fits", "hot"]

Item = TypeVar("Item")
T = TypeVar("T")
Event: TypeAlias = tuple[str, dict[str, Any]]
_STATEMENTS = {name: str(text) for name, text in read_all(Path(__file__).parent / "hot").items()}


class Pool(Protocol):
    """Where connections come from."""

    def take(self, until: float | None = None) -> AbstractAsyncContextManager[Connection]:
        """Borrow a connection.

        Args:
            until (float | None): Wait for one no longer than until then.

        Returns:
            AbstractAsyncContextManager[Connection]: In no transaction.
        """
        ...


class Book(Protocol):
    """Draws the tags of a process."""

    def draw_own(self, line: tuple[int, int, int, int], cost: int) -> int | None:
        """Draw a tag from those that were drawn ahead.

        Args:
            line (tuple[int, int, int, int]): Of which line.
            cost (int): What it costs.

        Returns:
            int | None: None if there are none left.
        """
        ...

    async def draw(self, wishes: Sequence[tuple[tuple[int, int, int, int], int]]) -> list[int]:
        """Draw tags.

        Args:
            wishes (Sequence[tuple[tuple[int, int, int, int], int]]): A line and a cost for each.

        Returns:
            list[int]: One for each.
        """
        ...

    def leased(self, priority: int, tag: int) -> None:
        """Note that a message was leased in order.

        Args:
            priority (int): Its priority.
            tag (int): Its tag.
        """
        ...


class Ground(Protocol):
    """What hot calls need of the engine."""

    @property
    def writing(self) -> Pool:
        """Connections."""
        ...

    @property
    def address(self) -> Address:
        """What the database can do."""
        ...

    @property
    def clock(self) -> Clock:
        """The store's only source of time."""
        ...

    @property
    def book(self) -> Book:
        """Draws tags."""
        ...

    async def again(self, attempt: Callable[[float], Any]) -> Any:
        """Make an attempt until it succeeds, fails for good, or it has taken too long.

        Args:
            attempt (Callable[[float], Any]): An async function, given until when it may wait. Where it raises a conflict or a
                lost connection, it has left nothing.

        Returns:
            Any: What it returns.
        """
        ...

    async def answer_of(self, mark: tuple[float, int], session: tuple[int, str]) -> list[int | None] | None:
        """Find out what became of a transaction whose answer was lost; if it is not committed, it never will be.

        Args:
            mark (tuple[float, int]): What it leaves.
            session (tuple[int, str]): The server's process that had it, and that one's name.

        Returns:
            list[int | None] | None: What it has left as its answer; None if it was not committed.
        """
        ...

    def committed(self, newest: int, events: Sequence[Event] = ()) -> None:
        """Hear of a commit: tell its events, wake who waits.

        Args:
            newest (int): The largest number of a change; -1 where nothing moved.
            events (Sequence[Event]): What has happened.
        """
        ...

    def write(self, fn: Callable[..., T], *given: Any, size_bytes: int = 0, **named: Any) -> asyncio.Future[T]:
        """Make a shared call in a transaction of its own.

        Args:
            fn (Callable[..., T]): Called as `fn(transaction, *given, **named)`.
            *given (Any): What it is given.
            size_bytes (int): Roughly how much it writes.
            **named (Any): What else it is given.

        Returns:
            asyncio.Future[T]: Its result, once that is on disk.
        """
        ...


def fits(flags: Flags) -> bool:
    """Tell whether hot statements can be used on a database.

    Args:
        flags (Flags): What it can do.

    Returns:
        bool: Where not, the shared functions do all.
    """
    return flags.multi_cte and flags.xids and flags.sessions


def hot(name: str) -> str:
    """Look a hot statement up.

    Args:
        name (str): As in `-- name: …` in `hot/*.sql`.

    Returns:
        str: Its SQL.
    """
    return _STATEMENTS[name]


async def ask(ground: Ground, statement: str, *given: Any) -> list[Any]:
    """Execute a statement that can be repeated: it writes nothing, or nothing twice.

    Args:
        ground (Ground): The engine.
        statement (str): One of `hot`.
        *given (Any): Its parameters.

    Returns:
        list[Any]: The rows.
    """

    async def attempt(until: float) -> list[Any]:
        async with ground.writing.take(until) as connection:
            return await connection.fetch(statement, *given)

    rows: list[Any] = await ground.again(attempt)
    return rows


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    """Turn rows into arrays, which a statement unnests; one that holds nothing is empty, since encoding costs.

    Args:
        rows (Sequence[tuple[Any, ...]]): What is to be written.
        width (int): How many values each row has.

    Returns:
        list[Sequence[Any]]: An array for each value.
    """
    if not rows:
        return [()] * width
    n = len(rows)
    return [() if column[0] is None and column.count(None) == n else column for column in zip(*rows, strict=True)]


async def each_apart(
    flush: Callable[[Sequence[Item]], Awaitable[Sequence[T | BaseException]]], items: Sequence[Item], error: PerdureError
) -> list[T | BaseException]:
    """Do one by one what failed together: one wish that cannot be kept must not be everybody's failure.

    Args:
        flush (Callable[[Sequence[Item]], Awaitable[Sequence[T | BaseException]]]): Does the work for some items.
        items (Sequence[Item]): All of them.
        error (PerdureError): What they failed with. One that the database is to blame for is raised again.

    Returns:
        list[T | BaseException]: One result for each.
    """
    if isinstance(error, StoreError) or len(items) == 1:
        raise error
    results: list[T | BaseException] = []
    for item in items:
        try:
            results += await flush([item])
        except PerdureError as own:
            results.append(own)
    return results
