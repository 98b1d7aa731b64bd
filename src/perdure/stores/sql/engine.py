"""What the shared views need of an engine: to write and to read together, to hear of changes, and to see who lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from perdure.clock import Clock, Moment
from perdure.messages.message import WorkerId
from perdure.messages.registry import Heart
from perdure.stores.sql.statements import Run

__all__ = ["Engine", "Locks"]

T = TypeVar("T")


class Locks(Protocol):
    """Locks that show a worker's death the moment it happens: held while its process lives, and no longer."""

    async def hold(self, worker: WorkerId) -> None:
        """Hold a worker's lock for as long as this process lives.

        Args:
            worker (WorkerId): One of this process, whose id nobody else has.
        """
        ...

    async def release(self, worker: WorkerId) -> None:
        """Let go of a worker's lock.

        Args:
            worker (WorkerId): One that has ended, whoever held it.
        """
        ...

    def is_free(self, run: Run, worker: WorkerId) -> bool:
        """Tell whether a worker's process is certainly gone.

        Args:
            run (Run): Of a reader.
            worker (WorkerId): Any.

        Returns:
            bool: False also where the lock says nothing.
        """
        ...


class Engine(Protocol):
    """One database, as the views use it."""

    outage_at: Moment | None
    """When this process last could not reach the store."""

    @property
    def clock(self) -> Clock:
        """The store's only source of time."""
        ...

    @property
    def locks(self) -> Locks:
        """Who lives."""
        ...

    def write(self, fn: Callable[..., T], *given: Any, size_bytes: int = 0, **named: Any) -> asyncio.Future[T]:
        """Make a call in a transaction, shared with whatever else is being written.

        Args:
            fn (Callable[..., T]): Called as `fn(transaction, *given, **named)`, without blocking the loop; may be called again.
            *given (Any): What it is given.
            size_bytes (int): Roughly how much it writes.
            **named (Any): What else it is given.

        Returns:
            asyncio.Future[T]: Its result, once that is on disk.
        """
        ...

    def read(self, fn: Callable[..., T], *given: Any) -> asyncio.Future[T]:
        """Make a call that reads, as of one moment.

        Args:
            fn (Callable[..., T]): Called as `fn(run, *given)`.
            *given (Any): What it is given.

        Returns:
            asyncio.Future[T]: Its result.
        """
        ...

    def heard(self) -> int:
        """Tell the newest change that this process has heard of.

        Returns:
            int: 0 if of none.
        """
        ...

    async def changed(self, after: int, timeout_s: float) -> int:
        """Wait for a change.

        Args:
            after (int): The newest change the caller knows.
            timeout_s (float): Wait no longer than this.

        Returns:
            int: The newest change; `after` if nothing happened in time.
        """
        ...

    def heart(self, worker: WorkerId) -> Heart:
        """Give a heartbeat thread what it needs.

        Args:
            worker (WorkerId): A registered worker of this process.

        Returns:
            Heart: With a connection of its own.
        """
        ...
