"""Hot statements that are transactions, and what became of one whose answer was lost.

Theory of operation. A connection that breaks while an answer is awaited leaves open whether the statement
was committed. So each statement leaves a row in `mark`, by a name that only this attempt has, and in it what
it answers. Who has lost the answer claims the same name on another connection: if it is ours then, the
statement never was committed and never will be, and is made again; else the answer is read there. This costs
one small row a batch, and no round trip.

A lease leaves none, since it is the one call that nobody has to know the end of: what was leased is found by
its tokens and given back (`leasing.py`).
"""

from __future__ import annotations

from itertools import count
from secrets import randbits
from typing import Any

from perdure.clock import awake
from perdure.errors.base import StoreError
from perdure.stores.postgres.border import FOREIGN, is_lost, translate
from perdure.stores.postgres.hot import Ground

__all__ = ["write", "write_unmarked"]

_next_name = count(randbits(62)).__next__
"""Names that nobody else has: counted from a number that was drawn once, since drawing from the system costs more than the rest."""


class _AnswerLost(Exception):
    """A connection broke after a statement was sent on it."""

    def __init__(self, nonce: int, session: tuple[int, str], error: BaseException, until: float) -> None:
        super().__init__(nonce)
        self.nonce, self.session, self.error, self.until = nonce, session, error, until


async def write(ground: Ground, statement: str, now: float, *given: Any) -> list[Any]:
    """Execute a statement that is a transaction, until it is known to have happened.

    Args:
        ground (Ground): The engine.
        statement (str): One of `hot`. Its last parameter is the name of its mark.
        now (float): The store's time, its first parameter.
        *given (Any): The others.

    Returns:
        list[Any]: The rows, once what it wrote is on disk. Of those found by the mark only the first column is known.

    Raises:
        StoreError: The database stayed out of reach.
    """

    async def attempt(until: float) -> list[Any]:
        async with ground.writing.take(until) as connection:
            nonce = _next_name()
            session = (connection.get_server_pid(), connection.get_settings().application_name)
            try:
                return await connection.fetch(statement, now, *given, nonce)
            except FOREIGN as error:
                if is_lost(error):
                    raise _AnswerLost(nonce, session, error, until) from error
                raise

    enough: float | None = None
    while True:
        try:
            rows: list[Any] = await ground.again(attempt)
        except _AnswerLost as lost:
            answer = await ground.answer_of((now, lost.nonce), lost.session)
            if answer is not None:
                return [(one, 0, None) for one in answer]
            enough = lost.until if enough is None else enough
            if awake() >= enough:
                raise translate(lost.error) from lost.error
        else:
            return rows


async def write_unmarked(ground: Ground, statement: str, *given: Any) -> list[Any]:
    """Execute a statement that is a transaction, and whose end its caller can do without.

    Args:
        ground (Ground): The engine.
        statement (str): One of `hot`.
        *given (Any): Its parameters.

    Returns:
        list[Any]: The rows, once what it wrote is on disk.

    Raises:
        StoreError: Also where the connection was lost while the answer was awaited: it may have happened or not.
    """

    async def attempt(until: float) -> list[Any]:
        async with ground.writing.take(until) as connection:
            try:
                return await connection.fetch(statement, *given)
            except FOREIGN as error:
                if is_lost(error):
                    raise StoreError(
                        "the database was lost while messages were leased, and nobody can say whether they are",
                        hint="Lease again: what was leased to nobody is given back.",
                    ) from error
                raise

    rows: list[Any] = await ground.again(attempt)
    return rows
