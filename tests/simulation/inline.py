"""The shared SQL logic on a SQLite in memory, without threads: each call is a transaction of its own, made when its turn comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

import perdure.stores.sqlite.migrate as migrating
from perdure.clock import Clock
from perdure.errors.base import WorkerFenced
from perdure.events import tell
from perdure.messages.message import WorkerId
from perdure.stores.sql.names import Names
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sqlite.store import SqliteStore

__all__ = ["inline_store"]

_BEAT = statement("worker_beat")


class NoLocks:
    """Nothing shows a death at once: silence does."""

    async def hold(self, worker: WorkerId) -> None: ...

    async def release(self, worker: WorkerId) -> None: ...

    def is_free(self, run: Run, worker: WorkerId) -> bool:
        return False


class InlineHeart:
    """Beats at once."""

    def __init__(self, engine: InlineEngine, worker: WorkerId) -> None:
        self._engine, self._worker = engine, worker

    def beat(self) -> None:
        if self._engine.connection.execute(_BEAT, (self._engine.clock.now(), self._worker)).fetchone() is None:
            raise WorkerFenced("declared dead")

    def close(self) -> None: ...


class InlineEngine:
    """Makes each call when the loop comes to it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.locks = NoLocks()
        self.outage_at: float | None = None
        self.newest = 0
        self.connection = apsw.Connection(":memory:")
        for path in sorted((Path(migrating.__file__).parent / "migrations").glob("*.sql")):
            self.connection.execute(path.read_text("utf-8"))
        self._names = Names(self.connection.execute)
        self._moved = asyncio.Event()

    async def open(self) -> None:
        """It is open."""

    async def close(self) -> None:
        self.connection.close()

    def write(self, fn: Callable[..., Any], *given: Any, size_bytes: int = 0, **named: Any) -> asyncio.Future[Any]:
        return self._soon(lambda: self._in_transaction(lambda tx: fn(tx, *given, **named)))

    def read(self, fn: Callable[..., Any], *given: Any) -> asyncio.Future[Any]:
        return self._soon(lambda: fn(self.connection.execute, *given))

    def heard(self) -> int:
        return self.newest

    async def changed(self, after: int, timeout_s: float) -> int:
        if self.newest <= after:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._moved.wait()
            except TimeoutError:
                return after
        return self.newest

    def heart(self, worker: WorkerId) -> InlineHeart:
        return InlineHeart(self, worker)

    def _soon(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def make() -> None:
            try:
                value = call()
            except Exception as error:
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(value)

        loop.call_soon(make)
        return done

    def _in_transaction(self, call: Callable[[Transaction], Any]) -> Any:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            tx = Transaction(self.connection.execute, self.connection.executemany, self._names, self.clock.now())
            value = call(tx)
            tx.flush()
        except BaseException:
            self._names.forget()
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        if tx.change > self.newest:
            self.newest = tx.change
            self._moved.set()
            self._moved = asyncio.Event()
        for name, facts in tx.events:
            tell(name, **facts)
        return value


def inline_store(*, clock: Clock) -> SqliteStore:
    """The SQLite store with all its views, over an engine without threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("perdure.stores.sqlite.store.Engine", lambda path, clock, **more: InlineEngine(clock))
        return SqliteStore("nowhere", clock=clock)
