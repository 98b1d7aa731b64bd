"""Files in pieces, in the store."""

from __future__ import annotations

import math
from typing import Any

from perdure.clock import Moment
from perdure.messages.files import ABANDONED_S, BITE, File, FilePage, FileStore, FileWish, NewFile, no_file
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction, sees_latest

__all__ = ["SqlFiles", "add_file", "add_piece", "finish_file"]

_ADD, _OPEN, _GROW, _PIECE = statement("file_add"), statement("file_open"), statement("file_grow"), statement("file_piece_add")
_FINISH, _GIVE_UP, _GET, _DELETE = statement("file_finish"), statement("file_give_up"), statement("file_get"), statement("file_delete")
_DOWN, _UP, _READ = statement("file_list_down"), statement("file_list_up"), statement("file_read")
_DUE, _GONE, _FORGET, _DROP = (statement(f"file_{verb}") for verb in ("due", "gone", "forget", "drop"))


class SqlFiles(FileStore):
    """Keeps files.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def begin(self, new: NewFile) -> None:
        """Begin a file, which nobody sees until it is finished."""
        await self._engine.write(add_file, new)

    async def write(self, id: str, piece: bytes) -> None:
        """Write the next piece of a file."""
        await self._engine.write(add_piece, id, piece, size_bytes=len(piece))

    async def finish(self, id: str, *, purpose: str | None = None, expires_s: float | None = None) -> File:
        """Let a file be seen."""
        return await self._engine.write(finish_file, id, purpose, expires_s)

    async def give_up(self, id: str) -> None:
        """Say that a file will not be finished."""
        await self._engine.write(_give_up, id)

    async def get(self, id: str, *, tenant: str | None) -> File:
        """Look at a file."""
        return await self._engine.read(_get, id, tenant, self._engine.clock.now())

    async def list(self, wish: FileWish) -> FilePage:
        """List files."""
        return await self._engine.read(_list, wish, self._engine.clock.now())

    async def read(self, id: str, number: int) -> bytes:
        """Read a piece of a file."""
        return await self._engine.read(_read, id, number)

    async def delete(self, id: str, *, tenant: str | None) -> None:
        """Delete a file."""
        await self._engine.write(_delete, id, tenant)

    async def forget(self) -> bool:
        """Forget one bite of what was deleted, has expired or was never finished."""
        due = await self._engine.read(_due, self._engine.clock.now())
        return due is not None and await self._engine.write(_forget)


def add_file(tx: Transaction, new: NewFile) -> None:
    """Begin a file.

    Args:
        tx (Transaction): What is being committed.
        new (NewFile): What it will be.
    """
    tx.run(_ADD, (new.id, new.tenant, new.name, new.purpose, tx.now, tx.now + ABANDONED_S))


@sees_latest
def add_piece(tx: Transaction, id: str, piece: bytes) -> None:
    """Write the next piece of a file.

    Args:
        tx (Transaction): What is being committed.
        id (str): One that is not finished.
        piece (bytes): It.

    Raises:
        NotFound: It was given up meanwhile.
    """
    row = tx.run(_OPEN, (id,)).fetchone()
    if row is None:
        raise no_file(id)
    tx.run(_PIECE, (id, row[0], piece))
    tx.run(_GROW, (id, len(piece), tx.now + ABANDONED_S))


def finish_file(tx: Transaction, id: str, purpose: str | None, expires_s: float | None) -> File:
    """Let a file be seen.

    Args:
        tx (Transaction): What is being committed.
        id (str): One that is not finished.
        purpose (str | None): What it is for; None for what was said before.
        expires_s (float | None): How long from now it is kept.

    Returns:
        File: It.

    Raises:
        NotFound: It was given up meanwhile.
    """
    row = tx.run(_FINISH, (id, None if expires_s is None else tx.now + expires_s, purpose)).fetchone()
    if row is None:
        raise no_file(id)
    return _file(row)


def _give_up(tx: Transaction, id: str) -> None:
    tx.run(_GIVE_UP, (id, tx.now))


def _delete(tx: Transaction, id: str, tenant: str | None) -> None:
    _get(tx.run, id, tenant, tx.now)
    if tx.run(_DELETE, (id, tx.now)).fetchone() is None:
        raise no_file(id)


def _get(run: Run, id: str, tenant: str | None, now: Moment) -> File:
    row = run(_GET, (id, now)).fetchone()
    if row is None or tenant not in (None, row[1]):
        raise no_file(id)
    return _file(row)


def _list(run: Run, wish: FileWish, now: Moment) -> FilePage:
    at, behind = (math.inf if wish.newest_first else -math.inf), ""
    if wish.after is not None:
        last = _get(run, wish.after, wish.tenant, now)
        at, behind = last.created_at, last.id
    found = run(_DOWN if wish.newest_first else _UP, (now, wish.tenant, wish.purpose, at, behind, wish.limit + 1)).fetchall()
    return FilePage([_file(row) for row in found[: wish.limit]], len(found) > wish.limit)


def _read(run: Run, id: str, number: int) -> bytes:
    row = run(_READ, (id, number)).fetchone()
    if row is None:
        raise no_file(id)
    return bytes(row[0])


def _due(run: Run, now: Moment) -> str | None:
    row = run(_DUE, (now,)).fetchone()
    return None if row is None else str(row[0])


@sees_latest
def _forget(tx: Transaction) -> bool:
    due = _due(tx.run, tx.now)
    if due is None:
        return False
    tx.run(_GONE, (due,))
    if len(tx.run(_FORGET, (due, BITE)).fetchall()) < BITE:
        tx.run(_DROP, (due,))
    return _due(tx.run, tx.now) is not None


def _file(row: tuple[Any, ...]) -> File:
    name, tenant, called, purpose, size, pieces, created_at, goes_at = row
    return File(
        id=name, tenant=tenant, name=called, purpose=purpose, size_bytes=size, pieces=pieces, created_at=created_at, expires_at=goes_at
    )
