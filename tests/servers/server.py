"""A PostgreSQL server that a test may stop, kill, freeze and start again."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import psutil
import psycopg

from servers import binaries, place

__all__ = ["ROLE", "Server"]

ROLE = "perdure"
"""Owns the databases and is nobody special."""
Mode = Literal["smart", "fast", "immediate"]
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_PATIENCE_S = 30.0
_TRIES, _PORT_TAKEN = 5, "Address already in use"
_SETTINGS = {
    "fsync": "off",  # what a power cut does is not tested; what the death of any process does, is
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "dynamic_shared_memory_type": "mmap",  # in its folder, so that nothing is left of one that was killed
    "jit": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


class Server:
    """Listens on loopback, for whoever knows its password, and keeps everything in one folder of its own.

    `async with` makes and starts it, and leaves nothing behind. With a `host`, an address of this machine, its
    neighbours in that network may come in too. On a `disk` its folder lies there.
    """

    def __init__(self, *, programs: Path | None = None, host: str = "127.0.0.1", disk: Path | None = None, **settings: str) -> None:
        self.folder = place.folder("perdure-postgres", *([disk] if disk else []))
        self.programs = place.reachable_programs(programs or binaries.find(), self.folder)
        self.version = binaries.version(self.programs)
        self.password = secrets.token_hex(12)
        self.host = host
        self.port = _free_port()
        self._settings = {**_SETTINGS, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{ROLE}:{self.password}@{self.host}:{self.port}/{database}"

    def superuser_url(self, database: str = "postgres") -> str:
        """Through the socket in the server's folder, which nobody else can open."""
        return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    async def create(self, database: str, *, template: str = "template0") -> str:
        return await asyncio.to_thread(self.create_now, database, template=template)

    def create_now(self, database: str, *, template: str = "template0") -> str:
        with psycopg.connect(self.superuser_url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}" OWNER {ROLE} TEMPLATE "{template}"'.encode())
        return self.url(database)

    async def start(self) -> None:
        await asyncio.to_thread(self.start_now)

    def start_now(self) -> None:
        """Start it, making it first where it is new, and wait until it answers.

        A new one looks for another port if somebody else was quicker at the one that was free; nobody knows its address yet.
        """
        new = not (self.folder / "data").exists()
        if not new:
            self._run()
            return
        self._make()
        for left in reversed(range(_TRIES)):
            try:
                self._run()
            except RuntimeError:
                if left == 0 or self.running or _PORT_TAKEN not in self.log():
                    raise
                self.port = _free_port()
            else:
                break
        with psycopg.connect(self.superuser_url(), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{_verifier(self.password)}'".encode())

    def _run(self) -> None:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        addresses = ",".join({"127.0.0.1", self.host})
        command = [self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder, "-h", addresses, "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **self._placed()
            )
        self._unguard()
        self._guard = _guard(self._process.pid, self.folder)
        self._wait_until_it_answers()

    async def start_if_down(self) -> None:
        """Wait until it answers again, starting it if it has given up."""
        await asyncio.to_thread(self._start_if_down)

    def _start_if_down(self) -> None:
        if self.running:
            with suppress(RuntimeError):  # it was about to go
                self._wait_until_it_answers()
        if not self.running:
            self.start_now()

    async def stop(self, mode: Mode = "fast") -> None:
        await asyncio.to_thread(self.stop_now, mode)

    def stop_now(self, mode: Mode = "fast") -> None:
        """Stop it and wait until it is gone. `immediate` is a crash: no checkpoint, connections just end."""
        self._end(_SIGNALS[mode])

    async def kill(self) -> None:
        """The server itself dies at once; its backends follow when they notice."""
        await asyncio.to_thread(self._end, signal.SIGKILL)

    async def restart(self, mode: Mode = "fast") -> None:
        await self.stop(mode)
        await self.start()

    def freeze(self) -> None:
        """Let no process of it go on; connections stay open and get no answer."""
        for one in self._processes():
            with suppress(psutil.NoSuchProcess):  # a backend that has just ended
                one.suspend()

    def thaw(self) -> None:
        for one in self._processes():
            with suppress(psutil.NoSuchProcess):
                one.resume()

    def remove(self) -> None:
        """Stop it, however it is, and forget its data."""
        if self.running:
            self.thaw()
            self.stop_now("immediate")
        self._unguard()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.remove)

    def _make(self) -> None:
        options = ["-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256"]
        command = [self.programs / "initdb", "-D", self.folder / "data", *options]
        made = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **self._placed())
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stdout}{made.stderr}")
        if self.host != "127.0.0.1":
            with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {self.host}/24 scram-sha-256\n")

    def _placed(self) -> dict[str, Any]:
        return {"cwd": self.folder, **place.as_server()}

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + _PATIENCE_S
        while True:
            with suppress(psycopg.OperationalError), psycopg.connect(self.superuser_url(), connect_timeout=5):
                return
            if not self.running or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL {self.version} did not start: {self.log()}")
            time.sleep(0.01)

    def _end(self, signal_: signal.Signals) -> None:
        assert self._process is not None, "the server was not started"
        backends = self._processes()
        self._unguard()
        self._process.send_signal(signal_)
        self._process.wait(_PATIENCE_S)
        _, alive = psutil.wait_procs(backends, timeout=_PATIENCE_S)
        assert not alive, f"still there: {alive}"

    def _unguard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.communicate()

    def _processes(self) -> list[psutil.Process]:
        server = psutil.Process(self.pid)
        return [server, *server.children(recursive=True)]


def _guard(pid: int, folder: Path) -> subprocess.Popen[bytes]:
    """Ends the server if whoever started it dies, however that happens: then there is nobody left at the other end of its pipe."""
    watch = 'read -r _; kill -QUIT "$0"; sleep 1; rm -rf "$1"'
    return subprocess.Popen(["sh", "-c", watch, str(pid), str(folder)], stdin=subprocess.PIPE, start_new_session=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _verifier(password: str) -> str:
    """What PostgreSQL keeps of a password, with a single iteration: each test makes several connections."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    client, server = (hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
    shown = [base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server)]
    return f"SCRAM-SHA-256$1:{shown[0]}${shown[1]}:{shown[2]}"
