"""One worker's heartbeat, from a thread and a connection of its own."""

from __future__ import annotations

import apsw

from perdure.clock import awake
from perdure.errors.base import StoreError, WorkerFenced
from perdure.messages.message import WorkerId
from perdure.messages.registry import DEAD_AFTER_S
from perdure.stores.sqlite.border import border
from perdure.stores.sqlite.connection import open_writer
from perdure.stores.sqlite.engine import Engine
from perdure.stores.sqlite.statements import statement
from perdure.stores.sqlite.turn import Patience, Turn

__all__ = ["SqliteHeart"]

_BEAT = statement("worker_beat")
_WAIT_S = 4.0
"""Below half the limit: a beat that could not be made is tried again in time."""


class SqliteHeart:
    """Beats for one worker. A beat need not survive a power cut, so it does not wait for the disk.

    Args:
        engine (Engine): Of the store.
        worker (WorkerId): For whom.
    """

    def __init__(self, engine: Engine, worker: WorkerId) -> None:
        self._engine, self._worker = engine, worker
        self._parts: tuple[apsw.Connection, Turn] | None = None
        self._beaten_at = awake()

    def beat(self) -> None:
        """Say that the worker lives."""
        try:
            with border():
                self._beat()
        except StoreError:
            self._engine.outage_at = self._engine.clock.now()
            raise
        if awake() - self._beaten_at > DEAD_AFTER_S:  # we stood still ourselves: let the others beat before they are judged
            self._engine.outage_at = self._engine.clock.now()
        self._beaten_at = awake()

    def close(self) -> None:
        """Let go of the connection."""
        parts, self._parts = self._parts, None
        if parts is not None:
            parts[0].close()
            parts[1].close()

    def _beat(self) -> None:
        if self._parts is None:
            patience = Patience(min(_WAIT_S, self._engine.wait_s))
            connection = open_writer(self._engine.path, patience, "normal")
            self._parts = (connection, Turn(self._engine.run_dir / "turn.lock", patience))
        connection, turn = self._parts
        turn.begin(connection)
        try:
            beaten = connection.execute(_BEAT, (self._engine.clock.now(), self._worker)).fetchone()
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:  # a beat that failed must not keep the write lock
                connection.execute("ROLLBACK")
        if beaten is None:
            raise WorkerFenced(f"worker {self._worker} is not alive", hint="It must stop; whatever it still writes is refused.")
