"""Copies of a file: made while everybody works, and put back when nobody does."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import apsw

from perdure.clock import iso, now
from perdure.errors.base import Conflict, StoreFull

__all__ = ["aside", "copy", "put_in_place"]


def copy(source: Path, to: Path) -> None:
    """Write a file anew somewhere else, as of one moment.

    Others go on writing meanwhile. The copy is whole or not there.

    Args:
        source (Path): The file.
        to (Path): A new one.

    Raises:
        Conflict: It is there already.
        StoreFull: There is no room for it.
    """
    if to.exists():
        raise Conflict(f"{str(to)!r} is there already", hint="Name another file.")
    size = sum(Path(f"{source}{part}").stat().st_size for part in ("", "-wal") if Path(f"{source}{part}").exists())
    if shutil.disk_usage(to.parent).free < size:
        raise StoreFull(
            f"there is no room for a copy of {size / 1e6:.0f} MB in {str(to.parent)!r}", hint="Make room, or name another folder."
        )
    part = to.with_name(f"{to.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        _write_anew(source, part)
        _to_disk(part)
        os.link(part, to)  # unlike a rename it takes nobody else's place
        _to_disk(to.parent)
    except FileExistsError:
        raise Conflict(f"{str(to)!r} is there already", hint="Name another file.") from None
    finally:
        part.unlink(missing_ok=True)


def aside(path: Path, why: str) -> Path:
    """Name a file beside another, after the moment.

    Args:
        path (Path): The other.
        why (str): One word for its name.

    Returns:
        Path: A name that nobody has.
    """
    moment = (iso(now()) or "").replace(":", "").replace("-", "")
    return path.with_name(f"{path.stem}.{why}-{moment}{path.suffix}")


def put_in_place(new: Path, path: Path, old: Path) -> None:
    """Let a file take the place of another that nobody uses, which keeps another name. At no moment is there none.

    Args:
        new (Path): The one, on the same disk.
        path (Path): The place, perhaps empty.
        old (Path): The other's name then.
    """
    for part in ("-shm", "-wal"):  # first, so that no log is ever beside a file that is not its own
        with suppress(FileNotFoundError):
            os.rename(f"{path}{part}", f"{old}{part}")
    with suppress(FileNotFoundError):
        os.link(path, old)
    os.rename(new, path)
    _to_disk(path.parent)


def _write_anew(source: Path, to: Path) -> None:
    connection = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.execute("VACUUM INTO ?", (str(to),))
    finally:
        connection.close()


def _to_disk(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
