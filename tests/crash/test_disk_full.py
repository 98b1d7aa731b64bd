"""The disk of the store is full for a while: callers hear so, nothing accepted is lost, and it goes on once there is room."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from crash.storm import Storm
from perdure.app import open_store, open_upkeep
from perdure.config.settings import Settings
from perdure.errors.base import StoreError, StoreFull
from perdure.messages.message import MessageId, NewMessage
from perdure.stores.store import Store
from perdure.testing.upstream import Upstream
from servers import place
from servers.server import Server

PATIENCE_S = 30.0
BODY = b'"%s"' % (b"x" * 50_000)
BOTH = pytest.mark.parametrize("engine", ["sqlite", "postgres"])


@dataclass
class Disk:
    """A disk of its own, small enough to be filled."""

    folder: Path

    def fill(self, *, leaving_bytes: int = 0) -> None:
        with (self.folder / "filler").open("ab", buffering=0) as filler, suppress(OSError):
            while (left := shutil.disk_usage(self.folder).free - leaving_bytes) > 0:
                filler.write(bytes(min(left, 1 << 20)))  # until there is no room for it

    def make_room(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)


@pytest.fixture
def disk() -> Iterator[Disk]:
    folder = place.folder("perdure-disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=0755", "perdure-test", folder], capture_output=True, text=True)
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"no right to mount a small disk: {mounted.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


@dataclass
class Filled:
    """A store on a disk that can be filled."""

    disk: Disk
    server: Server | None
    url: str | None

    @property
    def settings(self) -> Settings:
        data = self.disk.folder / "data"
        return Settings.model_validate({"data": data, "store": {"url": self.url, "wait_s": 2} if self.url else {"wait_s": 2}})

    async def stand_up(self) -> None:
        """Without room to write its log PostgreSQL stops; whoever makes room starts it again."""
        if self.server is not None:
            await self.server.start_if_down()


@pytest.fixture
async def filled(engine: str, disk: Disk) -> AsyncIterator[Filled]:
    (disk.folder / "data").mkdir(mode=0o700)
    if engine == "sqlite":
        yield Filled(disk, None, None)
        return
    async with Server(disk=disk.folder, fsync="on", full_page_writes="on", min_wal_size="32MB", max_wal_size="32MB") as server:
        yield Filled(disk, server, await server.create("filled"))
        disk.make_room()


async def put_until_it_is_refused(store: Store) -> tuple[list[MessageId], StoreError]:
    stored: list[MessageId] = []
    for _ in range(10_000):
        try:
            stored += [receipt.id for receipt in await store.messages.put([NewMessage(agent="any", body=BODY)])]
        except StoreError as error:
            return stored, error
    raise AssertionError("the disk was never full")


async def put_once_it_can(store: Store) -> MessageId:
    until = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            return (await store.messages.put([NewMessage(agent="any", body=BODY)]))[0].id
        except StoreError:
            assert asyncio.get_running_loop().time() < until, "there is room, and still nothing can be put"
            await asyncio.sleep(0.1)


@BOTH
@pytest.mark.timeout(180)
async def test_callers_hear_that_there_is_no_room_and_what_was_accepted_is_there(filled: Filled) -> None:
    async with open_store(filled.settings) as store:
        stored = [await put_once_it_can(store)]
        for _ in range(3):
            filled.disk.fill(leaving_bytes=500_000)
            more, refused = await put_until_it_is_refused(store)
            stored += more
            assert isinstance(refused, StoreFull), refused
            assert refused.retryable
            filled.disk.make_room()
            await filled.stand_up()
            stored.append(await put_once_it_can(store))
        assert [await store.messages.get(one) for one in stored]
    assert await open_upkeep(filled.settings).verify() == []


@BOTH
@pytest.mark.timeout(300)
async def test_workers_live_through_it_and_nothing_is_lost_or_done_twice(filled: Filled, tmp_path: Path) -> None:
    async def fill_for_a_while(dice: random.Random) -> None:
        filled.disk.fill()
        await asyncio.sleep(dice.uniform(0.5, 2.0))
        filled.disk.make_room()
        await filled.stand_up()

    with Upstream(delay_s=0.15) as upstream:
        storm = Storm(tmp_path, upstream, filled.url, data=filled.disk.folder / "data")
        try:
            await storm.rage(fill_for_a_while)
            await storm.check()
        finally:
            storm.ground.end()
