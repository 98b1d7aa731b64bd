"""One server for a whole run of the suite, however many processes it is spread over.

Whoever needs it first starts a keeper, a process that owns the server. Everybody who uses the server
holds a shared lock on a file until he ends, in whatever way; when the keeper gets that lock for itself,
nobody is left, and it stops the server and removes all traces. So nothing has to be told at the end.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from servers.server import ROLE, Server

__all__ = ["Shared", "shared"]

_PATIENCE_S = 60.0


class Shared:
    """The server of this run, as one of its processes sees it."""

    def __init__(self, known: dict[str, Any], meeting: Path) -> None:
        self.version: int = known["version"]
        self.programs = Path(known["programs"])
        self._url: str = known["url"]
        self._superuser_url: str = known["superuser_url"]
        self._meeting = meeting
        self._connection = psycopg.connect(self.superuser_url(), autocommit=True)
        self._made = 0

    def url(self, database: str) -> str:
        return self._url.replace("/postgres", f"/{database}")

    def superuser_url(self, database: str = "postgres") -> str:
        return self._superuser_url.replace("/postgres?", f"/{database}?")

    def create(self, *, template: str = "template0") -> str:
        """Make a database that nobody has used."""
        self._made += 1
        name = f"test_{os.getpid()}_{self._made}"
        self._run(f'CREATE DATABASE "{name}" OWNER {ROLE} TEMPLATE "{template}"')
        return name

    def drop(self, database: str) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    @contextmanager
    def making(self, template: str) -> Iterator[str | None]:
        """Give the address of a new database to be made a template, to one process; None to all who come later."""
        with _alone(self._meeting / f"{template}.lock"):
            if self._run("SELECT 1 FROM pg_database WHERE datname = %s", template).fetchone():
                yield None
                return
            self._run(f'CREATE DATABASE "{template}_new" OWNER {ROLE} TEMPLATE template0')
            yield self.url(f"{template}_new")
            self._run(f'ALTER DATABASE "{template}_new" RENAME TO "{template}"')
            self._run(f'ALTER DATABASE "{template}" ALLOW_CONNECTIONS false')

    def close(self) -> None:
        self._connection.close()

    def _run(self, text: str, *given: object) -> psycopg.Cursor[Any]:
        return self._connection.execute(text.encode(), given or None)


@contextmanager
def shared() -> Iterator[Shared]:
    """Use the server of this run, starting it if nobody has."""
    meeting = Path(tempfile.gettempdir()) / f"perdure-suite-{os.geteuid()}-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    meeting.mkdir(mode=0o700, exist_ok=True)
    with (meeting / "users").open("a") as users:
        with _alone(meeting / "start.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
            known = _known(meeting) or _start(meeting)
        found = Shared(known, meeting)
        try:
            yield found
        finally:
            found.close()


def _known(meeting: Path) -> dict[str, Any] | None:
    with suppress(FileNotFoundError):
        found: dict[str, Any] = json.loads((meeting / "server.json").read_text())
        return found
    return None


def _start(meeting: Path) -> dict[str, Any]:
    with (meeting / "log").open("ab") as log:
        command = [sys.executable, "-m", "servers.shared", str(meeting)]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        for name in [name for name in environ if name.startswith("COV")]:
            del environ[name]  # the keeper is no part of what is measured
        keeper = subprocess.Popen(command, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + _PATIENCE_S
    while (known := _known(meeting)) is None:
        if keeper.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"no PostgreSQL for the suite: {(meeting / 'log').read_text()[-4000:]}")
        time.sleep(0.01)
    keeper.returncode = 0  # it outlives us on purpose, and Python need not warn of that
    return known


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _keep(meeting: Path) -> None:
    """Own the server until nobody needs it."""
    server = Server(max_connections="200")
    try:
        server.start_now()
        known = {"version": server.version, "programs": str(server.programs), "url": server.url(), "superuser_url": server.superuser_url()}
        (meeting / "new.json").write_text(json.dumps(known))
        (meeting / "new.json").rename(meeting / "server.json")
        with (meeting / "users").open("a") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        server.remove()
        for file in meeting.iterdir():
            file.unlink()
        meeting.rmdir()


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
