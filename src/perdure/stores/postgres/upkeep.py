"""What an operator does to a store in PostgreSQL: upgrade, copy, put back, look over."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex

from perdure.clock import iso, now
from perdure.errors.base import ConfigError, Conflict, NotFound, StoreUnsuitable
from perdure.stores.postgres.border import border
from perdure.stores.postgres.bridge import Runner, drive
from perdure.stores.postgres.connection import Address, Connection, connect, farewell
from perdure.stores.postgres.copies import dump, put_back, schema_in
from perdure.stores.postgres.dialect import own, text_of
from perdure.stores.postgres.flags import Flags
from perdure.stores.postgres.migrate import FIRST, migrate, pending
from perdure.stores.sql.statements import Run
from perdure.stores.sql.verify import verify
from perdure.stores.upkeep import Fault, Restored, Upgraded

__all__ = ["PostgresUpkeep"]

_PATIENCE_S, _ANSWER_S = 600.0, 24 * 3600.0
"""Whoever asked for it by hand can wait for others, and for a large table to be read."""
_PLANS, _USERS, _NUMBERS = own("verify_plans"), own("users"), own("numbers_raise")


class PostgresUpkeep:
    """Looks after one store.

    Args:
        url (str): Of the database.
        folder (Path): Where the copies go that are made before upgrades.
        schema (str): The schema that the store is in.
        flags (Flags | None): What the database can do.
    """

    def __init__(self, url: str, *, folder: Path, schema: str = "perdure", flags: Flags | None = None) -> None:
        self._folder = folder.absolute()
        self._address = Address(url, schema, Flags() if flags is None else flags, _PATIENCE_S)

    async def pending(self) -> list[str]:
        """List the steps that an upgrade would take."""
        return await pending(self._address)

    async def upgrade(self, *, backup: bool = True) -> Upgraded:
        """Bring it to the shape this version knows, or make it."""
        steps = await self.pending()
        kept = await self._keep(before=steps[0]) if backup and steps and FIRST not in steps else None
        return Upgraded(applied=await migrate(self._address), backup=None if kept is None else str(kept))

    async def backup(self, to: Path) -> None:
        """Keep a copy of it as of one moment, while everybody goes on working."""
        await self._must_be_there()
        part = await asyncio.to_thread(_begun, to)
        try:
            await dump(self._address.url, self._address.schema, part)
            await asyncio.to_thread(_finish, part, to)
        finally:
            part.unlink(missing_ok=True)

    async def restore(self, source: Path) -> Restored:
        """Put a copy in its place; what was there is set aside, under another schema's name."""
        if not await asyncio.to_thread(source.exists):
            raise NotFound(f"there is no file {str(source)!r}")
        if (found := await schema_in(source)) != self._address.schema:
            what = f"{str(source)!r} is of a store in the schema {found!r}, not {self._address.schema!r}"
            raise StoreUnsuitable(what, hint="Set `store.schema_name`.")
        replaced = await self._set_aside()
        try:
            await put_back(self._address.url, source)
        except BaseException:
            await self._bring_back(replaced)
            raise
        async with self._connected() as connection:
            await connection.fetch(text_of(_NUMBERS).text)
        return Restored(replaced=replaced and f"the schema {replaced}")

    async def verify(self) -> list[Fault]:
        """Look the whole store over."""
        if await self._must_be_there():
            raise Conflict("the store has an older shape than this version looks over", hint="perdure db upgrade")
        async with self._connected() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            return await drive(_look_over, Runner(connection).run)

    async def _keep(self, *, before: str) -> Path:
        kept = self._folder / f"{self._address.schema}_before_{before[:4]}_{_moment()}_{token_hex(2)}.dump"
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        try:
            await self.backup(kept)
        except ConfigError as error:
            raise ConfigError(str(error), hint=f"{error.hint} Whoever has a copy already says `--no-backup`.") from error
        return kept

    async def _must_be_there(self) -> list[str]:
        """Refuse to go on where there is no store; else list what is to be upgraded."""
        steps = await self.pending()
        if FIRST in steps:
            raise NotFound("there is no store in this database", hint="`perdure db upgrade` makes one.")
        return steps

    async def _set_aside(self) -> str | None:
        schema = self._address.schema
        async with self._connected() as connection:
            if await connection.fetchval(text_of(_USERS).text, self._address.application):
                raise Conflict("somebody uses the store", hint="Stop its servers and workers first.")
            if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", schema):
                return None
            replaced = f"{schema[:32]}_replaced_{_moment()}"
            await connection.execute(f'ALTER SCHEMA "{schema}" RENAME TO "{replaced}"')
            return replaced

    async def _bring_back(self, replaced: str | None) -> None:
        if replaced is not None:
            async with self._connected() as connection:
                await connection.execute(f'ALTER SCHEMA "{replaced}" RENAME TO "{self._address.schema}"')

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        with border():
            connection = await connect(self._address, role="upkeep", answer_s=_ANSWER_S)
            try:
                yield connection
            finally:
                await farewell(connection)


def _moment() -> str:
    return (iso(now()) or "").replace(":", "").replace("-", "").replace(".", "_").lower()


def _begun(to: Path) -> Path:
    part = to.with_name(f"{to.name}.part")
    if to.exists():
        raise Conflict(f"{str(to)!r} is there already", hint="Name another file.")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return part


def _finish(part: Path, to: Path) -> None:
    try:
        os.link(part, to)  # unlike a rename it takes nobody else's place
    except FileExistsError:
        raise Conflict(f"{str(to)!r} is there already", hint="Name another file.") from None


def _look_over(run: Run) -> list[Fault]:
    run(_PLANS)
    return verify(run)
