"""What a contender has to offer: the small protocol that every adapter in `peers/` keeps.

An adapter runs in its contender's own environment, in two processes: the driver, which puts and counts, and
the worker. It configures its contender as its documentation advises for durable use; what was chosen is said in
`settings`, which is printed beside the figures.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.queue.work import Body

__all__ = ["NotOffered", "Peer"]


class NotOffered(Exception):
    """The contender has no such thing; the cell stays empty."""


class Peer:
    """One contender. `blocking` is True where `put` and the rest are plain functions; `bulk` where one call puts many."""

    blocking: bool = False
    bulk: bool = False
    priorities: bool = True
    settings: str = ""

    def __init__(self) -> None:
        self.folder = Path(os.environ["BENCH_FOLDER"])
        self.dsn = os.environ.get("BENCH_DSN", "")
        self.redis = os.environ.get("BENCH_REDIS", "")

    def prepare(self) -> Awaitable[None] | None:
        """Make its tables. On PostgreSQL it is done once, in a database that every cell starts as a copy of."""
        return None

    def open(self, callers: int) -> Awaitable[None] | None:
        """Make ready to put, from as many places at once."""
        return None

    def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> Awaitable[Any] | None:
        """Put messages durably: one, or many in one call where `bulk` is set."""
        raise NotImplementedError

    def fill(self, bodies: Sequence[Body]) -> Awaitable[Any] | None:
        """Put many, however is quickest; not timed."""
        raise NotOffered

    def grow(self, n: int) -> Awaitable[Any] | None:
        """Bring the backlog to n messages, made from one that was put; not timed."""
        raise NotOffered

    def finished(self) -> Awaitable[int] | int:
        """How many have ended, their result stored, as the contender's own tables say."""
        raise NotImplementedError

    def close(self) -> Awaitable[None] | None:
        """Let go."""
        return None

    def work(self, slots: int) -> Awaitable[None] | None:
        """Be its worker until the process is ended; calls `marks().wait_at_gate()` when all is imported."""
        raise NotImplementedError
