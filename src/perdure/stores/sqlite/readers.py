"""Reading beside the writer: a few threads, each with a connection that can only read.

A read sees the file as of one moment and never waits for the writer, nor the writer for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from perdure.errors.base import StoreClosed
from perdure.stores.sqlite.border import border
from perdure.stores.sqlite.connection import open_reader

__all__ = ["Readers"]

T = TypeVar("T")
_THREADS = 2


class Readers:
    """Makes reading calls.

    Args:
        path (Path): The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="perdure-reader")
        self._mine = threading.local()
        self._all: list[apsw.Connection] = []
        self._closed = False

    def submit(self, fn: Callable[..., T], *given: Any) -> asyncio.Future[T]:
        """Have a call made that reads.

        Args:
            fn (Callable[..., T]): Called in a reader's thread as `fn(run, *given)`.
            *given (Any): What it is given.

        Returns:
            asyncio.Future[T]: Its result.

        Raises:
            StoreClosed: The store is closed.
        """
        if self._closed:
            raise StoreClosed("the store is closed", hint="Use it inside its `async with` block.")
        return asyncio.get_running_loop().run_in_executor(self._pool, self._read, fn, given)

    def close(self) -> None:
        """End. Blocks until running reads have ended; not for the loop's thread."""
        self._closed = True
        self._pool.shutdown()
        for connection in self._all:
            connection.close()

    def _read(self, fn: Callable[..., T], given: tuple[Any, ...]) -> T:
        with border():
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                return fn(connection.execute, *given)
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    def _connection(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = open_reader(self._path)
            self._all.append(connection)
        return connection
