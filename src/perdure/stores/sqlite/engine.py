"""What the views of a store share: one writer, readers beside it, news, locks and the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from perdure.clock import Clock, Moment
from perdure.errors.base import StoreClosed
from perdure.messages.message import WorkerId
from perdure.stores.sql.statements import statement
from perdure.stores.sqlite.border import border
from perdure.stores.sqlite.checkpoints import Checkpoints
from perdure.stores.sqlite.connection import Synchronous, open_writer
from perdure.stores.sqlite.ground import prepare
from perdure.stores.sqlite.heart import SqliteHeart
from perdure.stores.sqlite.locks import WorkerLocks
from perdure.stores.sqlite.migrate import migrate
from perdure.stores.sqlite.news import News
from perdure.stores.sqlite.readers import Readers
from perdure.stores.sqlite.turn import Patience, Turn
from perdure.stores.sqlite.writer import Writer

__all__ = ["Engine"]

T = TypeVar("T")
_LAST_CHANGE = statement("sequence_last_change")


class Engine:
    """Opens and closes the file, and takes the views' calls to it.

    Args:
        path (Path): The file.
        clock (Clock): The store's only source of time.
        synchronous (Synchronous): Whether each commit waits for the disk.
        wait_s (float): How long a call waits for a locked database.
        run_dir (Path): Where locks and bells lie.
    """

    def __init__(self, path: Path, clock: Clock, *, synchronous: Synchronous, wait_s: float, run_dir: Path) -> None:
        self.path: Path = path
        self.clock: Clock = clock
        self.wait_s: float = wait_s
        self.run_dir: Path = run_dir
        self.locks: WorkerLocks = WorkerLocks(run_dir)
        self.outage_at: Moment | None = None
        """When this process last could not reach the store."""
        self._synchronous: Synchronous = synchronous
        self._open: tuple[Writer, Readers, News, Checkpoints] | None = None

    async def open(self) -> None:
        """Open the file, creating or upgrading what is there."""
        with border():
            await asyncio.to_thread(prepare, self.path, self.run_dir)
            await asyncio.to_thread(migrate, self.path, self.run_dir, wait_s=self.wait_s)
            patience = Patience(self.wait_s)
            connection = open_writer(self.path, patience, self._synchronous)
            news = News(self.path, self.run_dir, connection.execute(_LAST_CHANGE).get)
            checkpoints = Checkpoints(self.path, self.run_dir, connection)
            writer = Writer(connection, Turn(self.run_dir / "turn.lock"), self.clock, news.committed)
        self._open = (writer, Readers(self.path), news, checkpoints)

    async def close(self) -> None:
        """Close it: what was accepted is on disk."""
        parts, self._open = self._open, None
        if parts is not None:
            for part in parts:
                await asyncio.to_thread(part.close)
            self.locks.close()

    @property
    def news(self) -> News:
        """What has changed."""
        return self._parts()[2]

    def heard(self) -> int:
        """Tell the newest change that this process has heard of."""
        return self.news.newest

    async def changed(self, after: int, timeout_s: float) -> int:
        """Wait for a change."""
        return await self.news.changed(after, timeout_s)

    def heart(self, worker: WorkerId) -> SqliteHeart:
        """Give a heartbeat thread what it needs."""
        return SqliteHeart(self.path, self.run_dir, self.clock, worker, wait_s=self.wait_s, on_outage=self._out)

    def write(self, fn: Callable[..., T], *given: Any, size_bytes: int = 0, **named: Any) -> asyncio.Future[T]:
        """Make a call in a transaction, shared with whatever else is being written.

        Args:
            fn (Callable[..., T]): Called as `fn(transaction, *given)` in the writer's thread; may be called again.
            *given (Any): What it is given.
            size_bytes (int): Roughly how much it writes.
            **named (Any): What else it is given.

        Returns:
            asyncio.Future[T]: Its result, once that is on disk. To be awaited; a future and no coroutine, since
            this is done for every message.
        """
        return self._parts()[0].submit(lambda transaction: fn(transaction, *given, **named), size_bytes=size_bytes)

    def read(self, fn: Callable[..., T], *given: Any) -> asyncio.Future[T]:
        """Make a call that reads, as of one moment.

        Args:
            fn (Callable[..., T]): Called as `fn(run, *given)` in a reader's thread.
            *given (Any): What it is given.

        Returns:
            asyncio.Future[T]: Its result.
        """
        return self._parts()[1].submit(fn, *given)

    def _out(self) -> None:
        self.outage_at = self.clock.now()

    def _parts(self) -> tuple[Writer, Readers, News, Checkpoints]:
        if self._open is None:
            raise StoreClosed("the store is closed", hint="Use it inside its `async with` block.")
        return self._open
