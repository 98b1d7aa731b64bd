"""One worker's heartbeat, from a thread and a connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw

from perdure.clock import Clock, awake
from perdure.errors.base import StoreError, WorkerFenced
from perdure.messages.message import WorkerId
from perdure.messages.registry import DEAD_AFTER_S, Heart
from perdure.stores.sql.statements import statement
from perdure.stores.sqlite.border import border
from perdure.stores.sqlite.connection import open_writer
from perdure.stores.sqlite.turn import Patience, Turn

__all__ = ["SqliteHeart"]

_BEAT = statement("worker_beat")
_WAIT_S = 4.0
"""Below half the limit: a beat that could not be made is tried again in time."""


class SqliteHeart(Heart):
    """Beats for one worker. A beat need not survive a power cut, so it does not wait for the disk.

    Args:
        path (Path): The file.
        run_dir (Path): Where the line for the write lock is.
        clock (Clock): The store's time.
        worker (WorkerId): For whom.
        wait_s (float): How long the store waits for a locked database.
        on_outage (Callable[[], None]): Called when the store could not be reached, or we stood still.
    """

    def __init__(self, path: Path, run_dir: Path, clock: Clock, worker: WorkerId, *, wait_s: float, on_outage: Callable[[], None]) -> None:
        self._path, self._run_dir, self._clock, self._worker = path, run_dir, clock, worker
        self._wait_s = min(_WAIT_S, wait_s)
        self._on_outage = on_outage
        self._parts: tuple[apsw.Connection, Turn] | None = None
        self._beaten_at = awake()

    def beat(self) -> None:
        """Say that the worker lives."""
        try:
            with border():
                self._beat()
        except StoreError:
            self._on_outage()
            raise
        if awake() - self._beaten_at > DEAD_AFTER_S:  # we stood still ourselves: let the others beat before they are judged
            self._on_outage()
        self._beaten_at = awake()

    def close(self) -> None:
        """Let go of the connection."""
        parts, self._parts = self._parts, None
        if parts is not None:
            parts[0].close()
            parts[1].close()

    def _beat(self) -> None:
        if self._parts is None:
            patience = Patience(self._wait_s)
            connection = open_writer(self._path, patience, "normal")
            self._parts = (connection, Turn(self._run_dir / "turn.lock"))
        connection, turn = self._parts
        turn.begin(connection)
        try:
            beaten = connection.execute(_BEAT, (self._clock.now(), self._worker)).fetchone()
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:  # a beat that failed must not keep the write lock
                connection.execute("ROLLBACK")
        if beaten is None:
            raise WorkerFenced(f"worker {self._worker} is not alive", hint="It must stop; whatever it still writes is refused.")
