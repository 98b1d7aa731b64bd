"""Several hosts over one PostgreSQL: one is cut off in the middle of its work, and comes back."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crash.conftest import Ground, Seer
from crash.history import ended_twice, illegal_paths, leased_twice, never_told, told_what_is_not, whole_history
from crash.watch import tag_of
from perdure.agents.journal import StepKind
from perdure.app import open_store, open_upkeep
from perdure.clock import now
from perdure.config.settings import Settings
from perdure.messages.message import ENDS, State, View
from perdure.testing.upstream import Upstream
from servers.hosts import Host, Place, namespaces, namespaces_can_be_made, proxies

FENCED = 76
ORDERS, LONG = 40, 10


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    with Upstream(log=tmp_path / "calls.jsonl", delay_s=0.2) as running:
        yield running


@pytest.fixture
async def place(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Place]:
    """Namespaces where they can be made, else proxies; `CRASH_HOSTS=proxies` chooses."""
    network = namespaces if os.environ.get("CRASH_HOSTS") != "proxies" and namespaces_can_be_made() else proxies
    async with network(upstream.base_url) as made:
        yield made


@pytest.fixture
async def ground(place: Place, upstream: Upstream, tmp_path: Path) -> AsyncIterator[Ground]:
    ground = Ground(tmp_path, upstream.base_url, place.url)
    yield ground
    await asyncio.to_thread(ground.end)


@pytest.fixture
async def seer(ground: Ground, place: Place) -> AsyncIterator[Seer]:
    async with open_store(Settings.model_validate({"data": ground.folder / "seer", "store": {"url": place.url}})) as store:
        yield Seer(store)


def start(ground: Ground, host: Host, verb: str, *options: str, **environ: str) -> Any:
    own = {"PERDURE_DATA": str(ground.folder / f"data-{host.name}"), **host.environ, **environ}
    return ground.start(host.command(ground.command(verb, *options)), **own)


async def put_over_http(url: str, key: str, agent: str, bodies: list[Any]) -> list[str]:
    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30)) as session:
        messages = [{"agent": agent, "queue": "orders", "body": body} for body in bodies]
        async with session.post(f"{url}/api/v1/messages", json={"messages": messages}) as answer:
            told = await answer.json()
            assert answer.status == 202, told
    return [receipt["id"] for receipt in told["data"]]


@pytest.mark.timeout(240)
async def test_a_host_that_is_cut_off_loses_its_work_to_the_others_and_nothing_is_lost(
    place: Place, ground: Ground, seer: Seer, capsys: pytest.CaptureFixture[str]
) -> None:
    door, first, second = [await place.host(name) for name in ("door", "first", "second")]
    port = free_port()
    start(ground, door, "serve", "--host", door.address, "--port", str(port))
    cut_off = start(ground, first, "worker", "--slots", "60")
    await seer.until(lambda: living(seer, 1), what=f"the first worker lives: {ground.said()}")
    key = await key_of(seer, ground, door)
    url = f"http://{door.address}:{port}"
    [worker] = [worker.id for worker in await seer.store.workers.workers() if worker.alive]
    await put_over_http(url, key, "slow", [{"s": 8.0}] * LONG)
    await seer.until(lambda: begun(ground, LONG), what=f"the first worker is at it: {ground.said()}")
    start(ground, second, "worker", "--slots", "60")
    await seer.until(lambda: living(seer, 2), what=f"the second worker lives: {ground.said()}")
    await put_over_http(url, key, "order", [{"n": n} for n in range(ORDERS)])
    await seer.until(lambda: charged(ground, ORDERS // 8), what=f"both are at it: {ground.said()}")

    first.cut()
    cut_at = now()
    held = [view for view in await seer.views(state=State.LEASED) if view.worker == worker]
    assert len(held) > LONG, "it was cut off in the middle of its work"
    await seer.until(lambda: begun(ground, 2 * LONG), what=f"its messages are taken over: {ground.said()}", within_s=60)
    taken_over_s = now() - cut_at
    late = await put_over_http(url, key, "order", [{"n": n} for n in range(ORDERS, 2 * ORDERS)])
    await seer.until(lambda: settled(seer), what=f"the second worker ends all: {ground.said()}", within_s=90)
    before = await everything(seer)

    first.heal()
    assert await asyncio.to_thread(cut_off.wait, 60) == FENCED, ground.said()
    assert await everything(seer) == before, "nothing that it still wrote came in"

    start(ground, first, "worker", "--slots", "60")
    await seer.until(lambda: living(seer, 2), what=f"the first host works again: {ground.said()}")
    await put_over_http(url, key, "order", [{"n": n} for n in range(2 * ORDERS, 3 * ORDERS)])
    await seer.until(lambda: settled(seer), what=f"all ends: {ground.said()}", within_s=90)
    views = await seer.views()
    charges = Counter(ground.traces("charges"))
    states = {view.message.id: view.state for view in views}
    unknown = sum(view.state is State.WAITING for view in views)
    with capsys.disabled():
        print(
            f"\none of three hosts cut off ({type(first).__name__}) while it held {len(held)} messages: taken over after "
            f"{taken_over_s:.1f} s; {len(views)} put, {len(views) - unknown} done, {unknown} ask a person, 0 lost"
        )
    assert len(views) == LONG + 3 * ORDERS
    assert len(late) == ORDERS
    assert {view.state for view in views} <= {State.DONE, State.WAITING}
    assert all(count == 1 for count in charges.values())
    assert await ambiguous_tools(seer, views) == unknown, "who asks a person was charging when the cable was pulled"
    told = await whole_history(seer.store.messages)
    assert (
        illegal_paths(told) == leased_twice(told) == ended_twice(told) == never_told(told, states) == told_what_is_not(told, states) == []
    )
    asked = Counter(seen.tag for seen in ground.requests())
    for view in views:
        for step in await seer.steps(view.message.id):
            if (tag := tag_of(step)) is not None:
                assert asked[tag] <= 1 + step.ambiguous, f"{tag} was asked {asked[tag]} times: {step}"
    assert await open_upkeep(ground.settings).verify() == []


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def key_of(seer: Seer, ground: Ground, host: Host) -> str:
    file = ground.folder / f"data-{host.name}" / "key"
    running = ground.folder / f"data-{host.name}" / "run" / "server.json"

    async def written() -> bool:
        return file.exists() and running.exists()

    await seer.until(written, what=f"the server is up: {ground.said()}")
    return file.read_text().strip()


async def living(seer: Seer, count: int) -> bool:
    return await seer.living() == count


async def begun(ground: Ground, count: int) -> bool:
    return len(ground.traces("begun")) == count


async def charged(ground: Ground, count: int) -> bool:
    return len(ground.traces("charges")) >= count


async def settled(seer: Seer) -> bool:
    return all(view.state in ENDS or view.state is State.WAITING for view in await seer.views())


async def everything(seer: Seer) -> list[tuple[View, list[Any]]]:
    return [(view, list(await seer.steps(view.message.id))) for view in await seer.views()]


async def ambiguous_tools(seer: Seer, views: list[View]) -> int:
    waiting = [view for view in views if view.state is State.WAITING]
    steps = [step for view in waiting for step in await seer.steps(view.message.id)]
    return sum(step.key.kind is StepKind.TOOL and step.ended_at is None for step in steps)
