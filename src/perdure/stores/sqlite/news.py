"""Hearing of changes: of this process at once, of other processes by a doorbell, and by looking.

Each process has a datagram socket among the run files, its bell. Who has committed a change rings the
bells of the others, which costs a microsecond and may fail: whoever waits also looks every 25 ms whether
the file has changed, a look that touches no table. Nobody looks while nobody waits.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import select
import socket
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import apsw

from perdure.errors.handler import handle
from perdure.stores.sql.statements import statement
from perdure.stores.sqlite.border import border
from perdure.stores.sqlite.connection import open_reader

__all__ = ["News"]

_LAST_CHANGE = statement("sequence_last_change")
_LOOK_S = 0.025
_IDLE_S = 60.0
_TROUBLE_S = 0.25
_LONGEST_ADDRESS = 100


class News:
    """Knows the newest change and who waits for the next.

    Args:
        path (Path): The database file.
        run_dir (Path): Where the bells hang.
        newest (int): The newest change so far.
    """

    def __init__(self, path: Path, run_dir: Path, newest: int) -> None:
        self._path = path
        self.newest: int = newest
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._wanted = threading.Event()
        self._closing = False
        self._bells = _Bells(run_dir / "bells")
        self._thread: threading.Thread | None = None

    async def changed(self, after: int, timeout_s: float) -> int:
        """Wait for a change.

        Args:
            after (int): The newest change the caller knows.
            timeout_s (float): Wait no longer than this.

        Returns:
            int: The newest change; `after` if nothing happened in time.
        """
        if self.newest > after:
            return self.newest
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting[waiter] = after
        self._listen()
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return max(self.newest, after)
        finally:
            del self._waiting[waiter]
            if not self._waiting:
                self._wanted.clear()
        return self.newest

    def committed(self, change: int) -> None:
        """Hear of a commit of this process, and ring the others' bells. On the loop's thread.

        Args:
            change (int): The newest change.
        """
        if change > self.newest:
            self._hear(change)
            self._bells.ring()

    def close(self) -> None:
        """Wait for nothing any more. Blocks for a moment; not for the loop's thread."""
        self._closing = True
        self._wanted.set()
        if self._thread is not None:
            self._bells.ring_own()
            self._thread.join()
        self._bells.close()

    def _hear(self, change: int) -> None:
        self.newest = max(self.newest, change)
        for waiter, after in self._waiting.items():
            if self.newest > after and not waiter.done():
                waiter.set_result(None)

    def _listen(self) -> None:
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="perdure-news", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while not self._closing:
            try:
                with border(), closing(open_reader(self._path)) as connection:
                    self._look_again_and_again(connection)
            except Exception as error:  # a thread that ended here would leave this process deaf for the rest of its life
                handle(error, where="store.news", what=f"changes of other processes are not heard for {_TROUBLE_S:.2f} s", broke=True)
                time.sleep(_TROUBLE_S)

    def _look_again_and_again(self, connection: apsw.Connection) -> None:
        version = -1
        while not self._closing:
            if not self._wanted.wait(_IDLE_S):
                continue
            now = connection.pragma("data_version")
            if now != version:
                version = now
                newest = _newest(connection)
                if newest > self.newest:
                    with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                        self._loop.call_soon_threadsafe(self._hear, newest)
            self._bells.wait(_LOOK_S)


class _Bells:
    """Our own bell, and those of the other processes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder, self._name = folder, f"{os.getpid()}-{secrets.token_hex(4)}"
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        self._others: list[str] = []
        self._listed_at = -1
        self._own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._own.settimeout(0)
        with suppress(OSError):  # a file system without sockets: looking is enough
            self._own.bind(self._address(self._name))

    def wait(self, timeout_s: float) -> None:
        """Wait until ours rings, or some time."""
        rung, _, _ = select.select([self._own], [], [], timeout_s)
        if rung:
            with suppress(BlockingIOError):
                while True:
                    self._own.recv(16)

    def ring(self) -> None:
        """Ring the others'."""
        try:
            made_at = os.fstat(self._descriptor).st_mtime_ns
            if made_at != self._listed_at:
                self._others = [name for name in os.listdir(self._descriptor) if name != self._name]
                self._listed_at = made_at
        except OSError:  # somebody tidied the folder away: they look anyway
            return
        for name in self._others:
            self._ring(name)

    def ring_own(self) -> None:
        """Wake our own thread."""
        self._ring(self._name)

    def close(self) -> None:
        """Take ours down."""
        self._own.close()
        (self._folder / self._name).unlink(missing_ok=True)
        os.close(self._descriptor)

    def _ring(self, name: str) -> None:
        try:
            self._own.sendto(b"!", self._address(name))
        except ConnectionRefusedError:  # its process is gone
            (self._folder / name).unlink(missing_ok=True)
        except OSError:  # it rings already, or has just been taken down: they look anyway
            pass

    def _address(self, name: str) -> str:
        """A socket's address may be no longer than about a hundred bytes; a folder's own name may be."""
        address = str(self._folder / name)
        if len(os.fsencode(address)) > _LONGEST_ADDRESS and sys.platform == "linux":
            return f"/proc/self/fd/{self._descriptor}/{name}"
        return address


def _newest(connection: apsw.Connection) -> int:
    return int(connection.execute(_LAST_CHANGE).get or 0)
