"""Writing the log back into the file, beside the writer instead of inside its commits.

Left to itself SQLite does this inside a commit, which then takes tens of milliseconds. So each process
has a thread for it; a file lock elects the one that does it at a time. If none does, the commit that
finds 64 MiB in the log does it after all.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from perdure.errors.handler import handle
from perdure.stores.sqlite.border import border
from perdure.stores.sqlite.connection import CHECKPOINT_NET_PAGES, open_checkpointer

__all__ = ["Checkpoints"]

_PAGES_EACH = 8 * 1024 * 1024 // 4096
_RESTART_AT = 16 * 1024 * 1024 // 4096
"""From here on writers wait a moment, so that the log can begin anew instead of growing."""
_IDLE_S = 60.0
_log = logging.getLogger("perdure.stores")


class Checkpoints:
    """Watches the log of one writing connection and has it written back.

    Args:
        path (Path): The database file.
        run_dir (Path): Where the lock lies that elects the one who does it.
        watched (apsw.Connection): The writer's connection.
    """

    def __init__(self, path: Path, run_dir: Path, watched: apsw.Connection) -> None:
        self._path = path
        self._lock = os.open(run_dir / "checkpoint.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._done_at = 0
        self._pages = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        watched.set_wal_hook(self._grown)

    def close(self) -> None:
        """End. Blocks while the log is being written back; not for the loop's thread."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        os.close(self._lock)

    def _grown(self, connection: apsw.Connection, _: str, pages: int) -> int:
        """After each commit, in the writer's thread. What is raised here SQLite tells as the failure of a commit that is done."""
        try:
            self._look(connection, pages)
        except apsw.BusyError:
            _log.debug("somebody else is writing the log back")
        except Exception as error:  # the next commit comes to it again
            handle(error, where="store.checkpoints", what="the log could not be written back", broke=True)
        return apsw.SQLITE_OK

    def _look(self, connection: apsw.Connection, pages: int) -> None:
        if pages < self._pages:  # the log has begun anew
            self._done_at = 0
        self._pages = pages
        if pages - self._done_at >= _PAGES_EACH:
            self._done_at = pages
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="perdure-checkpoints", daemon=True)
                self._thread.start()
        if pages >= CHECKPOINT_NET_PAGES:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _work(self) -> None:
        with border():
            connection = open_checkpointer(self._path)
        while not self._closing:
            if not self._wake.wait(_IDLE_S):
                continue
            self._wake.clear()
            try:
                with self._elected() as elected, border():
                    if elected and not self._closing:
                        _write_back(connection)
            except Exception as error:  # the net in `_grown` remains
                handle(error, where="store.checkpoints", what="the log could not be written back", broke=True)
        connection.close()

    @contextmanager
    def _elected(self) -> Iterator[bool]:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _write_back(connection: apsw.Connection) -> None:
    try:
        in_log, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if in_log >= _RESTART_AT:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    except apsw.BusyError:
        _log.debug("somebody is still reading the log, or writing it back; it begins anew another time")
