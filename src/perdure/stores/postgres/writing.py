"""One attempt at a write transaction, and finding out what became of one whose answer was lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from perdure.clock import Clock
from perdure.errors.base import StoreError
from perdure.stores.postgres.border import FOREIGN, is_lost
from perdure.stores.postgres.bridge import Runner, drive
from perdure.stores.postgres.connection import Address, Connection
from perdure.stores.postgres.dialect import own, text_of
from perdure.stores.postgres.tagging import TagBook
from perdure.stores.postgres.transaction import KeptNames, Mark, PostgresTransaction

__all__ = ["Unsure", "answer_of", "write_once"]

_CLAIM, _READ, _END = (text_of(own(name)).text for name in ("mark_claim", "mark_read", "backend_end"))


class Unsure(Exception):
    """COMMIT was sent and its answer lost.

    Args:
        mark (Mark): What the transaction has left, if it was committed.
        session (tuple[int, str]): The server's process that had it, and a name that only this one had.
        result (Any): What the call returns then.
        events (Sequence[tuple[str, dict[str, Any]]]): What is to be told then.
    """

    def __init__(self, mark: Mark, session: tuple[int, str], result: Any, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
        super().__init__(mark)
        self.mark: Mark = mark
        self.session: tuple[int, str] = session
        self.result: Any = result
        self.events: Sequence[tuple[str, dict[str, Any]]] = events


class Home(Protocol):
    """What an attempt needs of the engine."""

    address: Address
    names: KeptNames

    @property
    def book(self) -> TagBook:
        """Draws tags."""
        ...

    @property
    def clock(self) -> Clock:
        """The store's time."""
        ...

    def committed(self, newest: int, events: Sequence[tuple[str, dict[str, Any]]] = ()) -> None:
        """Hear of a commit."""
        ...


async def write_once(connection: Connection, make: Callable[[PostgresTransaction], Any], home: Home, isolation: str) -> Any:
    """Make a call in one transaction. A call that fails and has written nothing leaves its counts.

    Args:
        connection (Connection): In no transaction.
        make (Callable[[PostgresTransaction], Any]): The call.
        home (Home): The engine.
        isolation (str): What it sees of others' commits.

    Returns:
        Any: What the call returns.

    Raises:
        Unsure: It may be committed, or not.
    """
    await connection.execute(f"BEGIN ISOLATION LEVEL {isolation};{home.address.preamble}")
    runner = Runner(connection)
    names = KeptNames(runner.run, home.names)
    transaction = PostgresTransaction(runner, names, home.clock.now(), home.address.flags, home.book)
    result, failure = None, None
    try:
        result = await drive(make, transaction)
    except FOREIGN:
        raise
    except Exception as error:  # the caller's to handle, whatever it is
        if runner.wrote:
            await connection.execute("ROLLBACK")
            raise
        failure = error
    await drive(transaction.flush)
    if runner.wrote:
        mark = await drive(transaction.mark)
        session = (connection.get_server_pid(), connection.get_settings().application_name)
        await _commit(connection, Unsure(mark, session, result, transaction.events))
    else:
        await connection.execute("ROLLBACK")
    names.keep()
    home.committed(0 if transaction.moved else -1, transaction.events)
    if failure is not None:
        raise failure
    return result


async def answer_of(connection: Connection, mark: Mark, session: tuple[int, str], address: Address) -> list[int | None] | None:
    """Ask what became of a transaction, and settle that for good if it is still open. May be asked again.

    Args:
        connection (Connection): Another one than it was on.
        mark (Mark): What the transaction has left, if it was committed.
        session (tuple[int, str]): The server's process that had it, and a name that only this one had.
        address (Address): Of the database.

    Returns:
        list[int | None] | None: What it has left as its answer; None if it was not committed.

    Raises:
        StoreError: It was so long ago that nobody can say.
    """
    async with connection.transaction():
        if address.preamble:
            await connection.execute(address.preamble)
        await connection.fetch(_END, *session)
        await connection.execute(_CLAIM, *mark)
        left = await connection.fetchrow(_READ, *mark)
    if left is None:
        raise StoreError("the mark of a commit whose answer was lost is gone", hint="Look at what is there before you repeat it.")
    claimed, answer = left
    return None if claimed else answer or []


async def _commit(connection: Connection, unsure: Unsure) -> None:
    try:
        said = await connection.execute("COMMIT")
    except FOREIGN as error:
        if is_lost(error):
            raise unsure from error
        raise
    if said != "COMMIT":  # never seen; a server that takes a transaction back in silence must not be believed
        raise StoreError(f"the transaction was not committed: {said}")
