from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "perdure.db"


@pytest.fixture
async def store(path: Path, clock: FakeClock) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(path, clock=clock) as opened:
        yield opened


@pytest.fixture
async def second(store: SqliteStore, path: Path, clock: FakeClock) -> AsyncIterator[SqliteStore]:
    """Another store on the same file, as another process would have it."""
    async with SqliteStore(path, clock=clock, wait_s=0.2) as opened:
        yield opened


@pytest.fixture
def file(store: SqliteStore, path: Path) -> Iterator[apsw.Connection]:
    """A look into the file from outside."""
    connection = apsw.Connection(str(path))
    yield connection
    connection.close()


@pytest.fixture
def program() -> Iterator[Callable[..., Any]]:
    """Start Python programs that answer a line at a time; what still runs is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate(timeout=30)


async def line_of(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return (await asyncio.to_thread(program.stdout.readline)).strip()


@pytest.fixture
def line() -> Callable[..., Any]:
    return line_of
