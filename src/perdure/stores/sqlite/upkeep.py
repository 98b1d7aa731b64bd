"""What an operator does to a file: upgrade, copy, put back, look over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from perdure.errors.base import Conflict, NotFound, StoreUnsuitable
from perdure.stores.sql.verify import verify
from perdure.stores.sqlite.border import border
from perdure.stores.sqlite.copies import aside, copy, put_in_place
from perdure.stores.sqlite.ground import prepare, prepare_folders
from perdure.stores.sqlite.migrate import alone, migrate, pending, schema_of
from perdure.stores.sqlite.whole import refuse_if_cut, refuse_if_emptied
from perdure.stores.upkeep import Fault, Restored, Upgraded

__all__ = ["SqliteUpkeep"]

T = TypeVar("T")
_PATIENCE_S = 600.0
"""An upgrade or a copy of a large file takes its time; whoever asked for it by hand can wait."""
_FAULTS_SHOWN = 100


class SqliteUpkeep:
    """Looks after one file.

    Args:
        path (Path): The file, which may not be there yet.
        run_dir (Path): Where the locks of its users lie.
    """

    def __init__(self, path: Path, *, run_dir: Path) -> None:
        self._path = path.absolute()
        self._run_dir = run_dir.absolute()

    async def pending(self) -> list[str]:
        """List the steps that an upgrade would take."""
        return await self._do(self._pending)

    async def upgrade(self, *, backup: bool = True) -> Upgraded:
        """Bring it to the shape this version knows, or make it."""
        return await self._do(self._upgrade, backup)

    async def backup(self, to: Path) -> None:
        """Keep a copy of it as of one moment, while everybody goes on working."""
        await self._do(self._backup, to)

    async def restore(self, source: Path) -> Restored:
        """Put a copy in its place; what was there is set aside."""
        return await self._do(self._restore, source)

    async def verify(self) -> list[Fault]:
        """Look the whole store over."""
        return await self._do(self._verify)

    async def _do(self, fn: Callable[..., T], *given: Any) -> T:
        with border():
            return await asyncio.to_thread(fn, *given)

    def _pending(self) -> list[str]:
        if not self._there():
            return pending(0)
        with self._open() as connection:
            return pending(schema_of(connection, self._path))

    def _upgrade(self, backup: bool) -> Upgraded:
        prepare(self._path, self._run_dir)
        applied, kept = migrate(self._path, self._run_dir, wait_s=_PATIENCE_S, backup=backup)
        return Upgraded(applied=applied, backup=None if kept is None else str(kept))

    def _backup(self, to: Path) -> None:
        with self._open() as connection:
            schema_of(connection, self._path)
        copy(self._path, to)

    def _verify(self) -> list[Fault]:
        with self._open() as connection:
            if pending(schema_of(connection, self._path)):
                raise Conflict("the store has an older shape than this version looks over", hint="perdure db upgrade")
            if damage := _damage(connection):
                return damage
            connection.execute("BEGIN")
            return verify(connection.execute)

    def _restore(self, source: Path) -> Restored:
        if not source.exists():
            raise NotFound(f"there is no file {str(source)!r}")
        new = self._path.with_name(f"{self._path.name}.new")
        new.unlink(missing_ok=True)
        prepare_folders(self._path, self._run_dir)
        try:
            copy(source, new)  # rather than take what was given away: it is a backup still
            _must_be_sound(new, source)
            with alone(self._run_dir, _PATIENCE_S):
                _must_be_unused(self._path)
                replaced = aside(self._path, "replaced")
                put_in_place(new, self._path, replaced)
        finally:
            new.unlink(missing_ok=True)
        return Restored(replaced=str(replaced) if replaced.exists() else None)

    def _there(self) -> bool:
        return self._path.exists() and self._path.stat().st_size > 0

    @contextmanager
    def _open(self) -> Iterator[apsw.Connection]:
        refuse_if_emptied(self._path)
        if not self._there():
            raise NotFound(f"there is no store at {str(self._path)!r}", hint="Name its folder: --data, or PERDURE_DATA.")
        connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(10_000)
            connection.pragma("query_only", 1)
            refuse_if_cut(connection, self._path)
            yield connection
        finally:
            connection.close()


def _damage(connection: apsw.Connection) -> list[Fault]:
    try:
        said = [text for (text,) in connection.execute(f"PRAGMA integrity_check({_FAULTS_SHOWN})")]
    except apsw.CorruptError as error:
        said = [str(error)]
    if said == ["ok"]:
        return []
    return [Fault(check="file", what="damage that SQLite finds in the file", n=len(said), examples=said[:10])]


def _must_be_sound(new: Path, source: Path) -> None:
    connection = apsw.Connection(str(new), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        if schema_of(connection, source) == 0 or _damage(connection):
            raise StoreUnsuitable(f"{str(source)!r} is no sound copy of a store", hint="`perdure db backup FILE` makes one.")
    finally:
        connection.close()


def _must_be_unused(path: Path) -> None:
    """To leave the mode with a write-ahead log SQLite needs the file for itself: nobody else may have it open."""
    if not path.exists():
        return
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.pragma("journal_mode", "delete")
    except (apsw.BusyError, apsw.LockedError):
        raise Conflict("somebody uses the store", hint="Stop its servers and workers first.") from None
    except (apsw.CorruptError, apsw.NotADBError):
        return  # it is set aside as it is
    finally:
        connection.close()
