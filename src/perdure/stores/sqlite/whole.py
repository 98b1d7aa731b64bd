"""Whether a file has all its pages: one that was cut off is refused, before anything is read from it or written to it.

SQLite reads a page behind the end of a file as zeros and, as soon as it writes the log back, makes the file as long as it
should be. A message whose body lay there would then be another one, and nobody would ever say so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import apsw

from perdure.errors.base import StoreUnsuitable

__all__ = ["refuse_if_cut", "refuse_if_emptied"]

_HEAD_BYTES, _FRAME_HEAD_BYTES = 32, 24
_HINT = "Restore it from a backup; what is left is still where it was."


def refuse_if_emptied(path: Path) -> None:
    """Refuse a file that is missing or empty while its log is not: SQLite would throw the log away and begin anew.

    Args:
        path (Path): The database file.

    Raises:
        StoreUnsuitable: It is such a one.
    """
    if _size_of(path) == 0 and _size_of(_log_of(path)) > _HEAD_BYTES:
        what = f"{str(path)!r} is missing or empty, but the log that belongs to it is there"
        raise StoreUnsuitable(what, hint="Restore it from a backup, or remove the log as well to begin anew.")


def refuse_if_cut(connection: apsw.Connection, path: Path) -> None:
    """Refuse a file that ends before pages that are neither in it nor in its log.

    Args:
        connection (apsw.Connection): To it, in no transaction.
        path (Path): The file.

    Raises:
        StoreUnsuitable: Pages are missing.
    """
    connection.execute("BEGIN")
    try:  # as long as we read, nobody makes the file shorter or lets the log begin anew
        pages, page_bytes = connection.pragma("page_count"), connection.pragma("page_size")
        there = _size_of(path) // page_bytes
        if there < pages and (missing := set(range(there + 1, pages + 1)).difference(_in_log(_log_of(path), page_bytes))):
            raise StoreUnsuitable(f"{str(path)!r} has been cut off: {len(missing)} of its {pages} pages are missing", hint=_HINT)
    finally:
        connection.execute("COMMIT")


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _in_log(log: Path, page_bytes: int) -> Iterator[int]:
    if _size_of(log) == 0:
        return
    with log.open("rb") as file:
        salts = file.read(_HEAD_BYTES)[16:24]
        while len(head := file.read(_FRAME_HEAD_BYTES)) == _FRAME_HEAD_BYTES and head[8:16] == salts:
            yield struct.unpack(">I", head[:4])[0]
            file.seek(page_bytes, 1)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
