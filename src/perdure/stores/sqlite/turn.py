"""Taking turns with other processes at the one write lock of the file.

SQLite's lock knows no queue: a process that commits and begins again at once would keep all others out
for as long as it has work. So whoever wants the write lock takes a place at a second lock, a plain file
lock, first, and gives it up once it has the write lock: a process that has just written finds the place
taken by the one that waits, and comes after it. It is a courtesy and no more. A process frozen in that
place holds the others up for a moment each time, never for good.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import apsw

from perdure.clock import awake, chance

__all__ = ["Patience", "Turn"]

_COURTESY_S = 0.05
_NAP_S = 0.0005
_LONGEST_NAP_S = 0.004


class Patience:
    """How long a connection waits for the write lock; SQLite asks it again and again.

    Args:
        wait_s (float): For so long.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._until = 0.0

    def __call__(self, tries: int) -> bool:
        """Wait a little, if there is time.

        Args:
            tries (int): How often SQLite has tried before; with none it starts to wait anew.

        Returns:
            bool: Whether to try again.
        """
        now = awake()
        if not tries:
            self._until = now + self._wait_s
        if now >= self._until:
            return False
        time.sleep(min(_NAP_S * (tries + 1), _LONGEST_NAP_S) * (0.5 + chance()))
        return True


class Turn:
    """A place in the line for the write lock. Not shared between threads.

    Args:
        path (Path): The lock file, the same for all processes of a store.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def begin(self, connection: apsw.Connection) -> None:
        """Begin a write transaction when it is this connection's turn.

        Args:
            connection (apsw.Connection): Whose busy handler is a `Patience`.
        """
        waits = self._take_place()
        try:
            connection.execute("BEGIN IMMEDIATE")
        finally:
            if waits:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Leave the line for good."""
        os.close(self._file)

    def _take_place(self) -> bool:
        until = 0.0
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                now = awake()
                until = until or now + _COURTESY_S
                if now >= until:
                    return False
                time.sleep(_NAP_S)
