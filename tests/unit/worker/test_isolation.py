from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure.messages.message import MessageId, State
from perdure.stores.inmemory import InMemoryStore
from perdure.testing import FakeClock
from perdure.testing.given import alive, card, dies, put, take
from perdure.worker.isolation import LOOK_S, Isolation

PATIENCE_S = 30.0
TOUCH = "import sys; from pathlib import Path; Path(sys.argv[1]).touch(); sys.exit(int(sys.argv[2]))"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(clock: FakeClock) -> AsyncIterator[InMemoryStore]:
    async with InMemoryStore(clock=clock) as opened:
        yield opened


async def crashed_twice(store: InMemoryStore, clock: FakeClock) -> MessageId:
    one = await put(store)
    for _ in range(2):
        [lease] = await take(store, await alive(store))
        assert lease.message.id == one
        await dies(store, clock)
    return one


def isolation(store: InMemoryStore, clock: FakeClock, file: Path, *, code: int = 0, agents: dict[str, str] | None = None) -> Isolation:
    return Isolation(
        store.messages,
        store.workers,
        [sys.executable, "-S", "-c", TOUCH, str(file), str(code)],
        agents={"mail": "v1"} if agents is None else agents,
        queues=None,
        clock=clock,
        grace_s=1.0,
    )


async def begun(file: Path) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not file.exists():
            await asyncio.sleep(0.01)


async def test_a_quarantined_message_gets_a_process_of_its_own(store: InMemoryStore, clock: FakeClock, tmp_path: Path) -> None:
    one = await crashed_twice(store, clock)
    assert (await store.messages.get(one)).state is State.READY
    guard = isolation(store, clock, tmp_path / "begun")
    running = asyncio.create_task(guard.run())
    await begun(tmp_path / "begun")
    running.cancel()
    await asyncio.wait({running}, timeout=PATIENCE_S)


async def looks(guard: Isolation) -> bool:
    """Look once; tell whether a process was started."""
    assert await guard.look() == LOOK_S
    started = guard.busy
    await guard.close()
    return started


async def test_without_a_quarantined_message_no_process_is_started(store: InMemoryStore, clock: FakeClock, tmp_path: Path) -> None:
    await put(store)
    assert not await looks(isolation(store, clock, tmp_path / "begun"))


async def test_one_of_another_workers_agents_is_left_to_that_worker(store: InMemoryStore, clock: FakeClock, tmp_path: Path) -> None:
    await crashed_twice(store, clock)
    assert not await looks(isolation(store, clock, tmp_path / "begun", agents={"other": "v1"}))


async def test_one_quarantine_process_is_enough(store: InMemoryStore, clock: FakeClock, tmp_path: Path) -> None:
    await crashed_twice(store, clock)
    await store.workers.register(card("mail", quarantine=True))
    assert not await looks(isolation(store, clock, tmp_path / "begun"))


async def test_a_quarantine_process_of_another_queue_or_version_helps_nobody(
    store: InMemoryStore, clock: FakeClock, tmp_path: Path
) -> None:
    await crashed_twice(store, clock)
    await store.workers.register(card("mail", quarantine=True, queues=["elsewhere"]))
    assert await looks(isolation(store, clock, tmp_path / "begun"))


async def test_a_process_that_cannot_start_is_tried_again_later(store: InMemoryStore, clock: FakeClock, tmp_path: Path) -> None:
    await crashed_twice(store, clock)
    guard = Isolation(
        store.messages,
        store.workers,
        [str(tmp_path / "nothing")],
        agents={"mail": "v1"},
        queues=None,
        clock=clock,
        grace_s=1.0,
    )
    assert await looks(guard)
    assert not guard.busy


async def test_a_process_that_failed_is_not_followed_at_once_by_another(store: InMemoryStore, clock: FakeClock, tmp_path: Path) -> None:
    await crashed_twice(store, clock)
    guard = isolation(store, clock, tmp_path / "begun", code=1)
    await guard.look()
    await begun(tmp_path / "begun")
    assert guard.busy
    await asyncio.wait_for(guard.close(), PATIENCE_S)
