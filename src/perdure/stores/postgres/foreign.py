"""A user's own connection, whoever's it is: asyncpg's, psycopg's, SQLAlchemy's, or any other that speaks DB-API.

Nothing is imported here but what the user has imported already, nothing is opened, committed or rolled back.
What the driver raises is the user's to handle, since it is their transaction - except that there is no
store in their database, which they could not guess from `UndefinedTable`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from inspect import iscoroutinefunction
from typing import Any, TypeAlias, TypeVar

from perdure.errors.base import InvalidInput, StoreUnsuitable

__all__ = ["Answer", "Conversation", "Question", "converse", "converse_sync"]

T = TypeVar("T")
Question: TypeAlias = tuple[str, Sequence[Any]]
"""SQL with `?` for its parameters, and these: text and whole numbers alone, which every driver passes on alike."""
Answer: TypeAlias = Sequence[Sequence[Any]]
"""Rows, as every driver gives them."""
Conversation: TypeAlias = Generator[Question, Answer, T]
"""Asks, is sent the rows, and returns what it was all for. So one text serves every driver, async or not."""
_HOLE = re.compile(r"\?")
_NO_STORE = {"42P01", "3F000", "42883"}
"""SQLSTATE: no such table, schema or function."""
_HINT = "Give a connection of asyncpg, psycopg or SQLAlchemy to a PostgreSQL database."


async def converse(connection: Any, conversation: Conversation[T]) -> T:
    """Hold a conversation over a connection that is awaited.

    Args:
        connection (Any): asyncpg's, psycopg's `AsyncConnection`, SQLAlchemy's `AsyncConnection` or `AsyncSession`.
        conversation (Conversation[T]): What is asked.

    Returns:
        T: What it came to.

    Raises:
        InvalidInput: The connection is none of these, or not to PostgreSQL.
        StoreUnsuitable: There is no store in its database.
    """
    driver = _driver(connection, awaited=True)
    rows: Answer | None = None
    while True:
        try:
            question = next(conversation) if rows is None else conversation.send(rows)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        try:
            rows = await _ask(driver, connection, *question)
        except Exception as error:
            conversation.close()
            _explain(error)
            raise


def converse_sync(connection: Any, conversation: Conversation[T]) -> T:
    """Hold a conversation over a connection that is not awaited.

    Args:
        connection (Any): psycopg's, SQLAlchemy's `Connection` or `Session`, or any other DB-API connection to PostgreSQL.
        conversation (Conversation[T]): What is asked.

    Returns:
        T: What it came to.

    Raises:
        InvalidInput: The connection is none of these, or not to PostgreSQL.
        StoreUnsuitable: There is no store in its database.
    """
    driver = _driver(connection, awaited=False)
    rows: Answer | None = None
    while True:
        try:
            question = next(conversation) if rows is None else conversation.send(rows)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        try:
            rows = _ask_sync(driver, connection, *question)
        except Exception as error:
            conversation.close()
            _explain(error)
            raise


def _driver(connection: Any, *, awaited: bool) -> str:
    """Tell drivers apart by where the classes of a connection are from, its own subclasses included."""
    homes = {kind.__module__.partition(".")[0] for kind in type(connection).__mro__}
    if homes & {"sqlite3", "apsw", "aiosqlite"}:
        raise InvalidInput("a put within a transaction needs PostgreSQL, and this is SQLite", hint=_HINT)
    driver = next((name for name in ("sqlalchemy", "asyncpg", "psycopg") if name in homes), "dbapi")
    if driver == "dbapi" and not callable(getattr(connection, "cursor", None)):
        raise InvalidInput(f"{type(connection).__qualname__!r} is no connection that can be used here", hint=_HINT)
    if driver == "sqlalchemy":
        _must_be_postgres(connection)
    is_awaited = driver == "asyncpg" or iscoroutinefunction(getattr(type(connection), "execute", None))
    if is_awaited != awaited:
        other = "`await put_within(…)`" if is_awaited else "`put_within_sync(…)`"
        raise InvalidInput(f"a connection like {type(connection).__qualname__!r} is used otherwise", hint=f"Write {other}.")
    return driver


def _must_be_postgres(connection: Any) -> None:
    bind = connection.get_bind() if hasattr(connection, "get_bind") else connection
    if bind.dialect.name != "postgresql":
        raise InvalidInput(f"a put within a transaction needs PostgreSQL, and this is {bind.dialect.name}", hint=_HINT)


async def _ask(driver: str, connection: Any, sql: str, given: Sequence[Any]) -> Answer:
    if driver == "asyncpg":
        return await connection.fetch(_numbered(sql), *given)  # type: ignore[no-any-return]
    if driver == "sqlalchemy":
        return (await connection.execute(*_named(sql, given))).fetchall()  # type: ignore[no-any-return]
    async with connection.cursor(row_factory=_plain_rows()) as cursor:
        await cursor.execute(_formatted(sql), given)
        return await cursor.fetchall()  # type: ignore[no-any-return]


def _ask_sync(driver: str, connection: Any, sql: str, given: Sequence[Any]) -> Answer:
    if driver == "sqlalchemy":
        return connection.execute(*_named(sql, given)).fetchall()  # type: ignore[no-any-return]
    with closing(connection.cursor(row_factory=_plain_rows()) if driver == "psycopg" else connection.cursor()) as cursor:
        cursor.execute(_formatted(sql), tuple(given))
        return [tuple(row.values()) if isinstance(row, Mapping) else row for row in cursor.fetchall()]


def _plain_rows() -> Any:
    return sys.modules["psycopg"].rows.tuple_row


def _numbered(sql: str) -> str:
    numbers = iter(range(1, sql.count("?") + 1))
    return _HOLE.sub(lambda _: f"${next(numbers)}", sql)


def _formatted(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _named(sql: str, given: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
    numbers = iter(range(len(given)))
    named = _HOLE.sub(lambda _: f":p{next(numbers)}", sql)
    return sys.modules["sqlalchemy"].text(named), {f"p{n}": value for n, value in enumerate(given)}


def _explain(error: Exception) -> None:
    for said in (error, getattr(error, "orig", None), error.__cause__):
        state = getattr(said, "sqlstate", None) or getattr(said, "pgcode", None)
        if state in _NO_STORE:
            raise StoreUnsuitable(
                "there is no store of Perdure in this database, or it has an older shape",
                hint="Use a connection to the database of PERDURE_DATABASE_URL; `perdure db upgrade` brings it up to date.",
            ) from error
