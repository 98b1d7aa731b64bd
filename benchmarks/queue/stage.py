"""One cell's stage: a fresh database, one driver process and one worker process of a contender.

Whatever was started ends with the cell, as a whole process group.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
from benchmarks.queue.contenders import Contender
from benchmarks.queue.environments import ROOT, python_of
from benchmarks.queue.marks import Marks
from benchmarks.queue.peer import NotOffered
from benchmarks.queue.servers import Postgres, Redis
from benchmarks.queue.work import MARKS

import perdure

__all__ = ["CellFailed", "Ground", "Stage"]


class CellFailed(Exception):
    """What went wrong in a cell."""


class Ground:
    """What all cells share: the scratch folder, the servers, and each contender's prepared database."""

    def __init__(self, folder: Path, postgres: Postgres | None, redis: Redis | None) -> None:
        self.folder, self.postgres, self.redis = folder, postgres, redis
        self._prepared: set[str] = set()
        self._cells = 0
        self._lock = threading.RLock()

    def database(self, contender: Contender) -> str:
        """A new database, as the contender's own installation leaves it."""
        assert self.postgres is not None
        template = f"t_{contender.name}"
        with self._lock:
            if template not in self._prepared:
                self.sql(f"DROP DATABASE IF EXISTS {template}", f"CREATE DATABASE {template}")
                with Stage(self, contender, dsn=self.postgres.dsn + template) as stage:
                    stage.ask("prepare", limit_s=60)
                self._prepared.add(template)
            self._cells += 1
            name = f"c{self._cells}"
            self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def sql(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each for itself."""
        assert self.postgres is not None

        async def run() -> None:
            connection = await asyncpg.connect(self.postgres.dsn + database)
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

        asyncio.run(run())


class Stage:
    """A contender on a fresh database. Use it with `with`.

    Args:
        ground (Ground): What all share.
        contender (Contender): Who.
        dsn (str | None): An existing database, to be prepared; None for a fresh copy.
        callers (int): From how many places it will be put at once.
    """

    def __init__(self, ground: Ground, contender: Contender, *, dsn: str | None = None, callers: int = 1) -> None:
        self.ground, self.contender, self._callers = ground, contender, callers
        self._database: str | None = None
        self._preparing = dsn is not None
        self.folder = Path(tempfile.mkdtemp(dir=ground.folder, prefix=f"{contender.name}-"))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PERDURE_", "PYTHONPATH"))}
        if contender.engine == "postgresql" and dsn is None:
            self._database = ground.database(contender)
            assert ground.postgres is not None
            dsn = ground.postgres.dsn + self._database
        if contender.engine == "redis":
            assert ground.redis is not None
            environment["BENCH_REDIS"] = ground.redis.fresh()
        paths = [str(ROOT)] if contender.environment else [str(ROOT), str(Path(perdure.__file__).parents[1])]
        self.environment = environment | {
            "BENCH_FOLDER": str(self.folder),
            "BENCH_DSN": dsn or "",
            MARKS: str(self.folder / "marks"),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
        }
        self.marks = Marks(self.folder / "marks")
        self._driver: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Self:
        command = [python_of_contender(self.contender), "-m", "benchmarks.queue.driver", self.contender.adapter]
        self._driver = self._spawn(command, "driver.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            if not self._preparing:
                if self.contender.engine != "postgresql":
                    self.ask("prepare", limit_s=60)
                self.facts = self.ask("open", callers=self._callers, limit_s=60)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for one in [*self.workers, *([self._driver] if self._driver else [])]:
            _end(one)
        if self._database is not None:
            self.ground.sql(f"DROP DATABASE IF EXISTS {self._database} WITH (FORCE)")
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, verb: str, *, limit_s: float = 120.0, **arguments: Any) -> Any:
        """Have the driver do something.

        Raises:
            NotOffered: The contender has no such thing.
            CellFailed: It did not work, or took too long.
        """
        self.tell(verb, **arguments)
        return self.answer(verb, limit_s)

    def tell(self, verb: str, **arguments: Any) -> None:
        """Have the driver begin something."""
        assert self._driver is not None
        assert self._driver.stdin is not None
        self._driver.stdin.write(json.dumps([verb, arguments]).encode() + b"\n")
        self._driver.stdin.flush()

    def answer(self, verb: str, limit_s: float) -> Any:
        """What the driver says to it."""
        assert self._driver is not None
        assert self._driver.stdout is not None
        ready, _, _ = select.select([self._driver.stdout], [], [], limit_s)
        line = self._driver.stdout.readline() if ready else b""
        if not line:
            raise CellFailed(f"{verb}: {'the driver ended' if ready else f'nothing in {limit_s:.0f} s'}{self._last_words('driver.log')}")
        said = json.loads(line)
        if "left_out" in said:
            raise NotOffered(said["left_out"])
        if "error" in said:
            raise CellFailed(f"{verb}: {said['error']}")
        return said["ok"]

    def start_worker(self, slots: int, *, gate: bool = True) -> subprocess.Popen[bytes]:
        """Start a worker; with `gate` it has imported everything when this returns, and waits."""
        command = self.contender.worker_command(slots) or [
            python_of_contender(self.contender), "-m", "benchmarks.queue.working", self.contender.adapter, str(slots),
        ]  # fmt: skip
        worker = self._spawn(command, f"worker{len(self.workers)}.log", stdin=subprocess.DEVNULL)
        self.workers.append(worker)
        until = time.monotonic() + 60
        while gate and not self.marks.imported():
            self.look()
            if time.monotonic() > until:
                raise CellFailed("the worker did not come to the gate")
            time.sleep(0.01)
        return worker

    def look(self) -> None:
        """Make sure that workers live."""
        for n, worker in enumerate(self.workers):
            if worker.poll() is not None and worker.returncode != -signal.SIGKILL:
                raise CellFailed(f"the worker ended with {worker.returncode}{self._last_words(f'worker{n}.log')}")

    def settle(self) -> None:
        """What a database that has run for a while would have done: statistics, checkpoint."""
        if self._database is not None:
            self.ground.sql("VACUUM ANALYZE", "CHECKPOINT", database=self._database)

    @property
    def database(self) -> str | None:
        """The cell's own, on PostgreSQL."""
        return self._database

    def _spawn(self, command: list[str], log: str, **streams: Any) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("wb") as file:
            streams.setdefault("stdout", file)
            environment = self.environment | self.contender.variables(self.folder, self.environment["BENCH_DSN"])
            return subprocess.Popen(command, cwd=self.folder, env=environment, stderr=file, start_new_session=True, **streams)

    def _last_words(self, log: str) -> str:
        lines = (self.folder / log).read_text(errors="replace").strip().splitlines()
        return f": {lines[-1][:300]} (see {self.folder / log})" if lines else ""


def python_of_contender(contender: Contender) -> str:
    return sys.executable if contender.environment is None else python_of(contender.environment)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
