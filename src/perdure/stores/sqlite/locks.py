"""A kernel lock for each worker, so that the others see its death the moment it happens.

A worker's process holds a lock on a file of its own for as long as it lives. However it ends, the kernel
frees the lock. Only the worker's own process locks the file; who can lock it as well knows that it is dead.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from perdure.messages.message import WorkerId
from perdure.stores.sql.engine import Locks
from perdure.stores.sql.statements import Run

__all__ = ["WorkerLocks"]


class WorkerLocks(Locks):
    """The locks that this process holds, and a look at the others'.

    Args:
        run_dir (Path): Where the files lie.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._held: dict[WorkerId, int] = {}

    async def hold(self, worker: WorkerId) -> None:
        """Hold a worker's lock for as long as this process lives.

        Args:
            worker (WorkerId): One of this process, whose id nobody else has.
        """
        file = os.open(self._path(worker), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._held[worker] = file

    async def release(self, worker: WorkerId) -> None:
        """Let go of a worker's lock and remove its file, whoever held it.

        Args:
            worker (WorkerId): One that has ended.
        """
        file = self._held.pop(worker, None)
        if file is not None:
            os.close(file)
        self._path(worker).unlink(missing_ok=True)

    def is_free(self, run: Run, worker: WorkerId) -> bool:  # noqa: ARG002  # the kernel knows without asking the file
        """Tell whether a worker's process is certainly gone.

        Args:
            run (Run): Of a reader; the kernel knows without it.
            worker (WorkerId): Any.

        Returns:
            bool: False also where there is no such file, which says nothing.
        """
        if worker in self._held:
            return False
        try:
            file = os.open(self._path(worker), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(file)
        return True

    def close(self) -> None:
        """Let go of all: whoever still holds a message here is dead to the others."""
        for file in self._held.values():
            os.close(file)
        self._held.clear()

    def _path(self, worker: WorkerId) -> Path:
        return self._run_dir / f"worker-{worker}.lock"
