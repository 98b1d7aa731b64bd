"""One attempt at a write transaction, and finding out what became of one whose answer was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import asyncpg

from perdure.clock import Clock, awake
from perdure.errors.base import StoreError
from perdure.stores.postgres.border import FOREIGN, is_lost
from perdure.stores.postgres.bridge import Runner, drive
from perdure.stores.postgres.connection import Address, Connection
from perdure.stores.postgres.dialect import own, text_of
from perdure.stores.postgres.transaction import KeptNames, PostgresTransaction

__all__ = ["Unsure", "outcome_of", "write_once"]

_STATUS = text_of(own("xid_status")).text
_LOOK_S = 0.05


class Unsure(Exception):
    """COMMIT was sent and its answer lost.

    Args:
        xid (str): The transaction's number.
        result (Any): What the call returns, if it was committed.
        events (Sequence[tuple[str, dict[str, Any]]]): What is to be told then.
    """

    def __init__(self, xid: str, result: Any, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
        super().__init__(xid)
        self.xid, self.result, self.events = xid, result, events


class Home(Protocol):
    """What an attempt needs of the engine."""

    address: Address
    names: KeptNames

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
    transaction = PostgresTransaction(runner, names, home.clock.now(), home.address.flags)
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
    xid = await drive(_finish, transaction)
    await _commit(connection, Unsure(xid or "", result, transaction.events))
    names.keep()
    home.committed(0 if transaction.moved else -1, transaction.events)
    if failure is not None:
        raise failure
    return result


async def outcome_of(connection: Connection, unsure: Unsure, until: float) -> bool:
    """Ask what became of a transaction.

    Args:
        connection (Connection): Another one than it was on.
        unsure (Unsure): The transaction.
        until (float): Wait for its end no longer than this, by `awake()`.

    Returns:
        bool: Whether it was committed.

    Raises:
        StoreError: Nobody can say.
    """
    while unsure.xid:
        try:
            status = await connection.fetchval(_STATUS, unsure.xid)
        except asyncpg.InvalidParameterValueError:  # this server has not come so far: another one's, which had not heard of it
            return False
        if status != "in progress":
            return bool(status == "committed")
        if awake() >= until:
            break
        await asyncio.sleep(_LOOK_S)
    raise StoreError("the outcome of the commit is not known")


def _finish(transaction: PostgresTransaction) -> str | None:
    transaction.flush()
    return transaction.xid()


async def _commit(connection: Connection, unsure: Unsure) -> None:
    try:
        said = await connection.execute("COMMIT")
    except FOREIGN as error:
        if is_lost(error):
            raise unsure from error
        raise
    if said != "COMMIT":  # never seen; a server that takes a transaction back in silence must not be believed
        raise StoreError(f"the transaction was not committed: {said}")
