"""Bringing a file to the shape this version knows, once, however many processes start at the same time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from perdure.clock import awake
from perdure.errors.base import StoreBusy, StoreUnsuitable
from perdure.stores.sqlite.copies import aside, copy
from perdure.stores.sqlite.whole import refuse_if_cut, refuse_if_emptied

__all__ = ["LATEST", "alone", "migrate", "pending", "schema_of"]

_MIGRATIONS = sorted((Path(__file__).parent / "migrations").glob("[0-9]*.sql"))
LATEST = len(_MIGRATIONS)
"""The schema this version of Perdure writes."""
_APPLICATION = 0x50445245
"""`PDRE`, so that `file` and we can tell a store from any other SQLite file."""
_SHORTEST_WAIT_S = 10.0
_OLDEST_SQLITE = 3051003
"""Older ones can corrupt a WAL file under several writers with checkpoints."""


def migrate(
    path: Path, run_dir: Path, *, wait_s: float, migrations: list[Path] | None = None, backup: bool = True
) -> tuple[list[str], Path | None]:
    """Create or upgrade what is in the file. Before an upgrade a copy is made beside it.

    Args:
        path (Path): The file, perhaps empty.
        run_dir (Path): Where the lock goes under which one process does it at a time.
        wait_s (float): How long to wait for the others.
        migrations (list[Path] | None): The steps in order; None for those of this version.
        backup (bool): Whether to make that copy.

    Returns:
        tuple[list[str], Path | None]: The names of the steps taken, and the copy if there is one.

    Raises:
        StoreUnsuitable: The file is another program's, of a newer Perdure, or has been cut off, or this SQLite is too old.
        StoreBusy: The others took too long.
        StoreFull: There is no room for the copy.
    """
    if apsw.SQLITE_VERSION_NUMBER < _OLDEST_SQLITE:
        raise StoreUnsuitable(f"SQLite {apsw.sqlite_lib_version()} can damage files", hint="Install apsw 3.51.3 or newer.")
    steps = _MIGRATIONS if migrations is None else migrations
    wait_s = max(wait_s, _SHORTEST_WAIT_S)
    with alone(run_dir, wait_s):
        refuse_if_emptied(path)
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(int(wait_s * 1000))
            schema = schema_of(connection, path, len(steps))
            refuse_if_cut(connection, path)
            _to_wal(connection)
            kept = _keep(path, schema) if backup and 0 < schema < len(steps) else None
            return _upgrade(connection, steps), kept
        finally:
            connection.close()


def pending(schema: int) -> list[str]:
    """List the steps from one schema to the newest.

    Args:
        schema (int): 0 for an empty file.

    Returns:
        list[str]: Their names.
    """
    return [step.stem for step in _MIGRATIONS[schema:]]


def schema_of(connection: apsw.Connection, path: Path, latest: int | None = None) -> int:
    """Tell which schema a file has, and refuse one that cannot be used.

    Args:
        connection (apsw.Connection): To it.
        path (Path): Where it is.
        latest (int | None): The newest that is known; None for that of this version.

    Returns:
        int: 1 or more; 0 for an empty file.

    Raises:
        StoreUnsuitable: It is another program's, or newer.
    """
    latest = len(_MIGRATIONS) if latest is None else latest
    version, application = connection.pragma("user_version"), connection.pragma("application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if application not in (0, _APPLICATION) or (application == 0 and tables):
        raise StoreUnsuitable(f"{str(path)!r} is a database of another program", hint="Choose another file in `store.url`.")
    if version > latest:
        raise StoreUnsuitable(
            f"{str(path)!r} has schema {version}, and this version of Perdure knows {latest}",
            hint="Start the newer version that has upgraded it, or restore a backup.",
        )
    return int(version)


def _to_wal(connection: apsw.Connection) -> None:
    if connection.pragma("user_version") == 0:
        connection.pragma("auto_vacuum", "incremental")  # only an empty file can be told
    if connection.pragma("journal_mode", "wal") != "wal":
        raise StoreUnsuitable("this file system cannot hold a write-ahead log", hint="Keep the data on a local disk.")


def _keep(path: Path, schema: int) -> Path:
    kept = aside(path, f"schema-{schema:04}")
    copy(path, kept)
    return kept


def _upgrade(connection: apsw.Connection, steps: list[Path]) -> list[str]:
    ahead = steps[connection.pragma("user_version") :]
    if not ahead:
        return []
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for step in ahead:
            connection.execute(step.read_text(encoding="utf-8"), can_cache=False)
        connection.pragma("user_version", len(steps))
        connection.pragma("application_id", _APPLICATION)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return [step.stem for step in ahead]


@contextmanager
def alone(run_dir: Path, wait_s: float) -> Iterator[None]:
    """Be the only one of all processes who changes the shape of a file, or puts another in its place.

    Args:
        run_dir (Path): Where the lock is.
        wait_s (float): How long to wait for the others.

    Yields:
        None: While nobody else does.

    Raises:
        StoreBusy: The others took too long.
    """
    file = os.open(run_dir / "migrate.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = awake() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if awake() >= until:
                    raise StoreBusy("another process has been upgrading the database for too long") from None
                time.sleep(0.005)
        yield
    finally:
        os.close(file)
