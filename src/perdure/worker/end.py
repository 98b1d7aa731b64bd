"""Why a worker ends, and the one place where that is said."""

from __future__ import annotations

import asyncio
from enum import StrEnum

__all__ = ["LastCall", "WorkerEnd"]


class WorkerEnd(StrEnum):
    """Why a worker took no more messages."""

    STOPPED = "stopped"  # it was asked to
    IDLE = "idle"  # a quarantine process found nothing left
    RECYCLE = "recycle"  # a thread hung; a fresh process takes over
    FENCED = "fenced"  # it was declared dead

    @property
    def exit_code(self) -> int:
        """What the process ends with; whoever supervises it starts another after all but 0."""
        return _EXIT_CODES[self]


_EXIT_CODES = {WorkerEnd.STOPPED: 0, WorkerEnd.IDLE: 0, WorkerEnd.RECYCLE: 75, WorkerEnd.FENCED: 76}


class LastCall:
    """Tells everybody in a worker that it ends. The first reason stands, but being fenced outranks all."""

    def __init__(self) -> None:
        self._called = asyncio.Event()
        self._fenced = asyncio.Event()
        self.end: WorkerEnd | None = None

    @property
    def called(self) -> bool:
        """Whether the worker is to end."""
        return self._called.is_set()

    @property
    def fenced(self) -> bool:
        """Whether it is to drop everything at once."""
        return self._fenced.is_set()

    def call(self, end: WorkerEnd) -> None:
        """Say that the worker is to end. From the event loop's thread only.

        Args:
            end (WorkerEnd): Why.
        """
        if self.end is None or end is WorkerEnd.FENCED:
            self.end = end
        if end is WorkerEnd.FENCED:
            self._fenced.set()
        self._called.set()

    async def wait(self) -> None:
        """Wait until somebody says so."""
        await self._called.wait()

    async def wait_fenced(self) -> None:
        """Wait until the worker has to drop everything."""
        await self._fenced.wait()
