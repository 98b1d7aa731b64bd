"""Bringing a database to the shape this version knows, once, however many processes start at the same time.

Each step is one transaction, under the lock of the table that counts them; so a step is made whole or not at
all, and whoever comes second finds it made. A first start needs nothing but an empty database, or a schema in
one that others use.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg

from perdure.clock import awake, chance
from perdure.errors.base import StoreUnsuitable
from perdure.stores.postgres.border import FOREIGN, is_lost, translate
from perdure.stores.postgres.connection import Address, Connection, connect, farewell
from perdure.stores.postgres.dialect import own, text_of

__all__ = ["FIRST", "LATEST", "migrate", "pending"]

_MIGRATIONS = sorted((Path(__file__).parent / "migrations").glob("[0-9]*.sql"))
FIRST = _MIGRATIONS[0].stem
"""While it is still to be made, there is no store."""
LATEST = int(_MIGRATIONS[-1].name[:4])
"""The schema this version of Perdure writes."""
_OLDEST_SERVER = 14
_SHORTEST_WAIT_S, _ANSWER_S = 30.0, 3600.0
_RACES = (asyncpg.UniqueViolationError, asyncpg.DuplicateTableError, asyncpg.DuplicateSchemaError, asyncpg.DuplicateObjectError)
"""What one of two hears that make the same thing at the same moment; the next time it is there."""
_COUNT = "CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY, name text NOT NULL, made_at timestamptz NOT NULL DEFAULT now())"
_THERE = "SELECT to_regclass($1) IS NOT NULL"
_SCHEMA_THERE = "SELECT to_regnamespace($1) IS NOT NULL"
_MADE = "SELECT number FROM migration"
_IS_MADE = "SELECT EXISTS (SELECT 1 FROM migration WHERE number = $1)"
_NOTE = "INSERT INTO migration (number, name) VALUES ($1, $2)"
_RAISE_BASE = text_of(own("base_raise")).text


async def migrate(address: Address, *, migrations: list[Path] | None = None) -> list[str]:
    """Create or upgrade what is in the database.

    Args:
        address (Address): Where it is, and in which schema.
        migrations (list[Path] | None): The steps in order; None for those of this version.

    Returns:
        list[str]: The names of the steps that were made now.

    Raises:
        StoreUnsuitable: The database is of a newer Perdure, too old a server, or not in UTF-8.
        StoreError: It cannot be reached.
    """
    steps = _MIGRATIONS if migrations is None else migrations
    until = awake() + max(address.wait_s, _SHORTEST_WAIT_S)
    reach_until = awake() + address.wait_s
    while True:
        try:
            return await _migrate(address, steps)
        except FOREIGN as error:
            limit = until if isinstance(error, _RACES) else reach_until
            if not (isinstance(error, _RACES) or is_lost(error)) or awake() >= limit:
                raise translate(error) from error
        await asyncio.sleep(0.05 * (0.5 + chance()))


async def pending(address: Address) -> list[str]:
    """Tell which steps are still to be made. Changes nothing.

    Args:
        address (Address): Where the database is, and in which schema.

    Returns:
        list[str]: Their names.

    Raises:
        StoreError: It cannot be reached.
    """
    try:
        connection = await connect(address, role="migrate")
        try:
            made = await _made(connection, address)
        finally:
            await farewell(connection)
    except FOREIGN as error:
        raise translate(error) from error
    return [step.stem for step in _MIGRATIONS if _number(step) not in made]


async def _migrate(address: Address, steps: list[Path]) -> list[str]:
    connection = await connect(address, role="migrate", answer_s=_ANSWER_S)
    try:
        await _suit(connection)
        made = await _made(connection, address)
        known = {_number(step) for step in steps}
        if not made <= known:
            raise StoreUnsuitable(
                f"the database has schema {max(made)}, and this version of Perdure knows {max(known)}",
                hint="Start the newer version that has upgraded it, or restore a backup.",
            )
        new = await _upgrade(connection, address, steps) if made < known else []
        if address.flags.xids:
            await connection.execute(f"BEGIN;{address.preamble}")
            await connection.execute(_RAISE_BASE)
            await connection.execute("COMMIT")
        return new
    finally:
        await farewell(connection)


async def _suit(connection: Connection) -> None:
    if connection.get_server_version().major < _OLDEST_SERVER:
        raise StoreUnsuitable(f"PostgreSQL {connection.get_server_version().major} is too old", hint="Use 14 or newer.")
    encoding = connection.get_settings().server_encoding
    if encoding.upper() != "UTF8":
        raise StoreUnsuitable(f"the database keeps text as {encoding}", hint="Make one with the encoding UTF8.")


def _number(step: Path) -> int:
    return int(step.name[:4])


async def _made(connection: Connection, address: Address) -> set[int]:
    table = f'"{address.schema}".migration'
    if not await connection.fetchval(_THERE, table):
        return set()
    return {number for (number,) in await connection.fetch(_MADE.replace("migration", table))}


async def _upgrade(connection: Connection, address: Address, steps: list[Path]) -> list[str]:
    limits = f"SET LOCAL lock_timeout = '{int(max(address.wait_s, _SHORTEST_WAIT_S))}s'; SET LOCAL search_path TO \"{address.schema}\""
    async with connection.transaction():
        if not await connection.fetchval(_SCHEMA_THERE, f'"{address.schema}"'):  # who may not make one can be given one
            await connection.execute(f'CREATE SCHEMA "{address.schema}"')
        await connection.execute(f"{limits}; {_COUNT}")
    new: list[str] = []
    for step in steps:
        async with connection.transaction():
            await connection.execute(f"{limits}; LOCK TABLE migration IN EXCLUSIVE MODE")
            if await connection.fetchval(_IS_MADE, _number(step)):
                continue
            await connection.execute(await asyncio.to_thread(step.read_text, encoding="utf-8"))
            await connection.execute(_NOTE, _number(step), step.stem)
        new.append(step.stem)
    return new
