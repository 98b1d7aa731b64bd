"""Synchronous functions over an asynchronous connection.

The logic that both engines share is plain functions that call `run(statement, parameters)` and go on with
the rows. Here such a function runs in a greenlet on the loop's own thread: each `run` hands what is to be
awaited out to the task that drives it, and is switched back into with the answer. No thread, no lock, and
the loop goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.dialect import Paging, own, paging_of, text_of

__all__ = ["Rows", "Runner", "drive"]

_REACH = text_of(own("change_reach")).text

T = TypeVar("T")


async def drive(fn: Callable[..., T], *given: Any, **named: Any) -> T:
    """Make a call that may wait in its midst.

    Args:
        fn (Callable[..., T]): A synchronous function, which uses a `Runner`.
        *given (Any): What it is given.
        **named (Any): What else it is given.

    Returns:
        T: What it returns.
    """
    within = greenlet(fn)
    step = within.switch(*given, **named)
    while not within.dead:
        try:
            got = await step
        except BaseException as error:  # whatever it is, it is raised where it was waited for
            step = within.throw(error)
        else:
            step = within.switch(got)
    result: T = step
    return result


def wait_for(awaitable: Awaitable[T]) -> T:
    """Wait, inside a driven function.

    Args:
        awaitable (Awaitable[T]): For what.

    Returns:
        T: Its result.
    """
    outside = getcurrent().parent
    assert outside is not None, "only inside `drive`"
    got: T = outside.switch(awaitable)
    return got


class Rows:
    """What a statement returned; as a cursor of SQLite shows it.

    Args:
        rows (Sequence[tuple[Any, ...]]): All of them.
    """

    __slots__ = ("_at", "_rows")

    def __init__(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._rows, self._at = rows, 0

    @property
    def get(self) -> Any:
        """The only value of the only row, or that row, or None."""
        if not self._rows:
            return None
        row = self._rows[0]
        return row[0] if len(row) == 1 else row

    def fetchone(self) -> tuple[Any, ...] | None:
        """Give the next row.

        Returns:
            tuple[Any, ...] | None: It; None if none is left.
        """
        return next(self, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Give all rows that are left.

        Returns:
            list[tuple[Any, ...]]: In order; none is left then.
        """
        rows, self._at = list(self._rows[self._at :]), len(self._rows)
        return rows

    def close(self) -> None:
        """Be done with it."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        if self._at >= len(self._rows):
            raise StopIteration
        self._at += 1
        return self._rows[self._at - 1]


class Runner:
    """Executes statements on a connection, inside a driven function.

    Args:
        connection (Connection): In a transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.wrote: bool = False
        """Whether a statement has changed anything."""

    def run(self, statement: str, given: Sequence[Any] = ()) -> Any:
        """Execute a statement.

        Args:
            statement (str): A `Statement`; its text for PostgreSQL is looked up.
            given (Sequence[Any]): Its parameters.

        Returns:
            Any: `Rows`, or an iterator for one that is read in pages.
        """
        paging = paging_of(statement)
        if paging is not None:
            return self._pages(paging, given)
        said = text_of(statement)
        if said.reaches:
            given = (*given, wait_for(self._connection.fetchval(_REACH)))
        rows = [tuple(row) for row in wait_for(self._connection.fetch(said.text, *given))]
        self.wrote = self.wrote or not (said.reads or (said.returns and not rows))
        return Rows(rows)

    def run_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute a statement for many rows of parameters.

        Args:
            statement (str): A `Statement`.
            rows (Sequence[Sequence[Any]]): The parameters of each time.
        """
        if rows:
            self.wrote = True
            wait_for(self._connection.executemany(text_of(statement).text, rows))

    def _pages(self, paging: Paging, given: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        after = paging.first(given)
        while True:
            rows = wait_for(self._connection.fetch(paging.text, *after))
            for row in rows:
                yield tuple(row)
            if len(rows) < paging.size:
                return
            after = paging.next(given, tuple(rows[-1]))
