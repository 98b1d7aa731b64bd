"""The files of a store are cut at a random byte while somebody writes, as a power cut or a torn copy would leave them.

A log that is cut holds the acknowledged history up to some moment, whole and in order, and all that was acknowledged before
the cut. A database that is cut is whole all the same, or says that it is damaged: it never answers wrongly and never hangs.

CRASH_CUTS=1000 pytest tests/crash/test_files_cut.py      the long form
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from crash.seeds import seed
from crash.wal import HEAD_BYTES, reached, written_back
from crash.writing import body, result
from perdure.errors.base import StoreError
from perdure.messages.message import MessageId, NewMessage, State, View
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.messages.store import Filter
from perdure.stores.sqlite.store import SqliteStore
from perdure.stores.sqlite.upkeep import SqliteUpkeep

TESTS = Path(__file__).parent.parent
CUTS = int(os.environ.get("CRASH_CUTS", "12"))
SNAPSHOTS = max(6, CUTS // 20)
LIMIT_S = 30.0


class Acknowledged(NamedTuple):
    """One call that was answered."""

    what: str
    id: MessageId
    generation: int
    length: int


class Snapshot(NamedTuple):
    """The files as they were at one moment, and what had been acknowledged by then."""

    folder: Path
    generation: int
    safe_bytes: int
    log_bytes: int
    told: list[Acknowledged]

    def copy(self, to: Path) -> Path:
        """The files of a machine that starts again: without what only lived in its memory."""
        to.mkdir()
        for name in ("perdure.db", "perdure.db-wal"):
            shutil.copyfile(self.folder / name, to / name)
        return to / "perdure.db"

    @property
    def pages(self) -> int:
        """Of the database itself: at first all is in the log."""
        return (self.folder / "perdure.db").stat().st_size // 4096

    def must_hold(self, cut: int) -> list[Acknowledged]:
        return [one for one in self.told if one.generation < self.generation or one.length <= cut]


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Snapshot]]:
    """What the files of a busy writer look like, again and again: it stands still while they are copied."""
    folder = tmp_path_factory.mktemp("cut")
    database, log, dice = folder / "perdure.db", folder / "told", random.Random(seed())
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    writer = subprocess.Popen([sys.executable, "-m", "crash.writing", database, folder / "run", log], env=environ)
    try:
        wait_for(log)
        taken = []
        for n in range(SNAPSHOTS):
            time.sleep(dice.uniform(0.05, 0.6))
            assert writer.poll() is None
            taken.append(taken_of(writer, database, log, folder / f"snapshot-{n}"))
        yield taken
    finally:
        writer.kill()
        writer.wait()


def wait_for(log: Path) -> None:
    until = time.monotonic() + LIMIT_S
    while not log.exists():
        assert time.monotonic() < until, "the writer writes nothing"
        time.sleep(0.01)


def taken_of(writer: subprocess.Popen[bytes], database: Path, log: Path, to: Path) -> Snapshot:
    writer.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, writer.pid, os.WSTOPPED)
    try:
        to.mkdir()
        for end in ("", "-wal"):
            shutil.copyfile(f"{database}{end}", to / f"perdure.db{end}")
        safe_bytes = written_back(Path(f"{database}-shm"))
        told = [line.split() for line in log.read_text().splitlines()]
    finally:
        writer.send_signal(signal.SIGCONT)
    generation, log_bytes = reached(to / "perdure.db-wal")
    known = [Acknowledged(what, MessageId(int(number)), int(then), int(size)) for what, number, then, size in told]
    return Snapshot(to, generation, min(safe_bytes, log_bytes), log_bytes, known)


async def faults(database: Path) -> list[str]:
    async with asyncio.timeout(LIMIT_S):
        return [
            f"{fault.check}: {fault.what} {fault.examples}"
            for fault in await SqliteUpkeep(database, run_dir=database.parent / "run").verify()
        ]


async def kept(database: Path) -> dict[MessageId, View]:
    async with asyncio.timeout(LIMIT_S), SqliteStore(database, run_dir=database.parent / "run") as store:
        found: dict[MessageId, View] = {}
        cursor = None
        while True:
            page = await store.messages.list(Filter(), limit=1000, cursor=cursor)
            found |= {view.message.id: view for view in page.views}
            if (cursor := page.cursor) is None:
                return found


async def goes_on(database: Path) -> None:
    async with asyncio.timeout(LIMIT_S), SqliteStore(database, run_dir=database.parent / "run") as store:
        worker = await store.workers.register(WorkerCard(host="here", pid=1, slots=1, agents=[AgentCard(name="next", version="1")]))
        [put] = await store.messages.put([NewMessage(agent="next", body=b"1")])
        [route] = [route for route in await store.messages.routes() if route.agent == "next"]
        [lease] = await store.messages.lease([route], limit=1, worker=worker)
        await store.messages.done(lease, b"2")
        assert (await store.messages.get(put.id)).state is State.DONE


def is_there(one: Acknowledged, views: dict[MessageId, View]) -> bool:
    view = views.get(one.id)
    return view is not None and (one.what == "put" or (view.state is State.DONE and view.result == result(one.id)))


def nothing_is_changed(views: dict[MessageId, View]) -> bool:
    return all(view.message.body == body(int(view.message.body[1:9])) for view in views.values())


@pytest.mark.timeout(3600)
async def test_a_log_that_is_cut_holds_the_acknowledged_history_up_to_a_moment(snapshots: list[Snapshot], tmp_path: Path) -> None:
    dice = random.Random(seed())
    shorter = 0
    for n in range(CUTS):
        snapshot = dice.choice(snapshots)
        cut = dice.randint(snapshot.safe_bytes, snapshot.log_bytes)
        database = snapshot.copy(tmp_path / str(n))
        os.truncate(f"{database}-wal", cut)
        what = f"{snapshot.folder.name}, log cut at {cut} of {snapshot.log_bytes}"
        assert await faults(database) == [], what
        views = await kept(database)
        assert [one for one in snapshot.must_hold(cut) if not is_there(one, views)] == [], what
        there = [is_there(one, views) for one in snapshot.told]
        assert there == sorted(there, reverse=True), f"{what}: something is there that came after something that is not"
        assert nothing_is_changed(views), what
        await goes_on(database)
        assert await faults(database) == [], f"{what}, later"
        shorter += not all(there)
        shutil.rmtree(database.parent)
    assert shorter, "no cut took anything away: nothing was tried"


@pytest.mark.timeout(3600)
async def test_a_log_with_a_changed_byte_is_one_that_ends_before_it(snapshots: list[Snapshot], tmp_path: Path) -> None:
    dice = random.Random(seed())
    for n in range(CUTS // 2):
        snapshot = dice.choice([one for one in snapshots if one.log_bytes > one.safe_bytes])
        at = dice.randrange(snapshot.safe_bytes, snapshot.log_bytes)
        database = snapshot.copy(tmp_path / str(n))
        with Path(f"{database}-wal").open("r+b") as log:
            log.seek(at)
            was = log.read(1)[0]
            log.seek(at)
            log.write(bytes([was ^ dice.randrange(1, 256)]))
        what = f"{snapshot.folder.name}, changed at {at} of {snapshot.log_bytes}"
        assert await faults(database) == [], what
        views = await kept(database)
        assert [one for one in snapshot.must_hold(at) if not is_there(one, views)] == [], what
        assert nothing_is_changed(views), what
        shutil.rmtree(database.parent)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("log", ["whole", "empty"])
async def test_a_database_that_is_cut_is_whole_all_the_same_or_says_so(snapshots: list[Snapshot], tmp_path: Path, log: str) -> None:
    dice = random.Random(seed())
    refused = 0
    for n in range(CUTS):
        snapshot = dice.choice([one for one in snapshots if one.pages > 2 and (log == "whole" or one.safe_bytes == HEAD_BYTES)])
        database = snapshot.copy(tmp_path / str(n))
        whole = database.stat().st_size
        pages = whole // 4096
        cut = [dice.randrange(1, whole), dice.randrange(1, pages) * 4096, whole - dice.choice([1, 4096, 8192])][n % 3]
        if n == 0 and log == "whole":
            cut = 0
        os.truncate(database, cut)
        if log == "empty":
            os.truncate(f"{database}-wal", 0)
        what = f"{snapshot.folder.name}, database cut at {cut} of {whole}, {log} log"
        try:
            if await faults(database):
                refused += 1
                continue
            views = await kept(database)
        except StoreError:
            refused += 1
            continue
        lost = [one for one in snapshot.must_hold(HEAD_BYTES if log == "empty" else snapshot.log_bytes) if not is_there(one, views)]
        assert lost == [], f"{what}: {len(lost)} are lost, and nobody says so"
        assert nothing_is_changed(views), what
        shutil.rmtree(database.parent)
    assert refused, "nothing was ever found: nothing was tried"
