"""Connections to the file, each with the settings its role needs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import apsw

from perdure.stores.sqlite.turn import Patience

__all__ = ["CHECKPOINT_NET_PAGES", "Synchronous", "open_checkpointer", "open_reader", "open_writer"]

Synchronous = Literal["full", "normal"]
CHECKPOINT_NET_PAGES = 64 * 1024 * 1024 // 4096
"""If nobody else did it, a commit that leaves so many pages in the log writes them back itself."""
_WRITER_CACHE_KIB, _READER_CACHE_KIB = 8192, 2048
_KEPT_STATEMENTS = 200
_READ_WAIT_MS = 5000
_RESTART_WAIT_MS = 50
"""Writers stand still for so long at most while the log begins anew."""


def open_writer(path: Path, patience: Patience, synchronous: Synchronous) -> apsw.Connection:
    """Open a connection that writes.

    Args:
        path (Path): The file, which is there already and in WAL mode.
        patience (Patience): How it waits for the write lock.
        synchronous (Synchronous): Whether each commit waits for the disk.

    Returns:
        apsw.Connection: To be used by one thread at a time.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=_KEPT_STATEMENTS)
    connection.set_busy_handler(patience)
    connection.pragma("synchronous", synchronous)
    connection.pragma("cache_size", -_WRITER_CACHE_KIB)
    connection.pragma("temp_store", "memory")
    connection.pragma("journal_size_limit", CHECKPOINT_NET_PAGES * 4096)
    connection.wal_autocheckpoint(CHECKPOINT_NET_PAGES)
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """Open a connection that can only read.

    Args:
        path (Path): The file.

    Returns:
        apsw.Connection: To be used by one thread at a time.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=_KEPT_STATEMENTS)
    connection.set_busy_timeout(_READ_WAIT_MS)
    connection.pragma("query_only", "on")
    connection.pragma("cache_size", -_READER_CACHE_KIB)
    connection.pragma("temp_store", "memory")
    return connection


def open_checkpointer(path: Path) -> apsw.Connection:
    """Open a connection that only writes the log back.

    Args:
        path (Path): The file.

    Returns:
        apsw.Connection: To be used by one thread at a time.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(_RESTART_WAIT_MS)
    connection.wal_autocheckpoint(0)
    connection.pragma("schema_version")  # one that has never read knows of no log, and would write back nothing
    return connection
