"""PostgreSQL is stopped, killed and started while workers are busy, and their connections are cut: callers wait, and nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crash.conftest import Ground, Seer
from crash.history import illegal_paths, told_twice, whole_history
from perdure.agents.journal import Decision, StepKind
from perdure.app import open_store
from perdure.config.settings import Settings
from perdure.errors.base import StoreError
from perdure.messages.message import ENDS, MessageId, State
from perdure.testing.upstream import Upstream
from servers.chaos import Chaos
from servers.server import Server

ORDERS = 60
STORM_S = float(os.environ.get("CRASH_STORM_S", "8"))


class Storm:
    """Workers behind a proxy, and someone who looks at the database past it."""

    def __init__(self, folder: Path, upstream: Upstream, server: Server, chaos: Chaos, url: str) -> None:
        self.server, self.chaos, self.url, self.upstream = server, chaos, url, upstream
        self.ground = Ground(folder, upstream.base_url, chaos.url)
        self.settings = Settings.model_validate({"data": folder / "data", "store": {"url": url}})
        self.ids: list[MessageId] = []

    async def rage(self, blow: Callable[[random.Random], Awaitable[None]]) -> None:
        """Put, work, and be struck; then see everything to its end."""
        dice = random.Random(int(os.environ.get("CRASH_SEED", "11")))
        async with open_store(self.settings) as store:
            self.ids = await Seer(store).put("order", [{"n": n} for n in range(ORDERS)])
        workers = [self.ground.worker("--slots", "15") for _ in range(2)]
        ends_at = asyncio.get_running_loop().time() + STORM_S
        while asyncio.get_running_loop().time() < ends_at:
            await asyncio.sleep(dice.uniform(0.2, 1.5))
            await blow(dice)
        await self.calm()
        for worker in workers:
            assert worker.poll() is None, f"a worker did not live through it: {self.ground.said()}"
            worker.terminate()
        for worker in workers:
            assert await asyncio.to_thread(worker.wait, 60) == 0

    async def calm(self) -> None:
        """Wait until all have ended, deciding on what may have been charged."""
        for _ in range(600):
            try:
                async with open_store(self.settings) as store:
                    views = [await store.messages.get(one) for one in self.ids]
                    await self._decide(store, [view for view in views if view.state is State.WAITING])
                    if all(view.state in ENDS for view in views):
                        return
            except StoreError:  # it is just coming back
                pass
            await asyncio.sleep(0.2)
        raise AssertionError(f"not all ended: {Counter(view.state for view in views)} {self.ground.said()}")

    async def _decide(self, store: Any, waiting: list[Any]) -> None:
        charged = set(self.ground.traces("charges"))
        for view in waiting:
            n = json.loads(view.message.body)["n"]
            decision = Decision.HAPPENED if str(n) in charged else Decision.RUN_AGAIN
            result = json.dumps(f"charged {n}").encode() if str(n) in charged else None
            await store.journal.decide(view.message.id, view.wait.step, decision, by="key_test", result=result)

    async def check(self) -> None:
        charged = Counter(self.ground.traces("charges"))
        asked = Counter(seen.tag for seen in self.upstream.requests)
        async with open_store(self.settings) as store:
            for one in self.ids:
                view = await store.messages.get(one)
                n = json.loads(view.message.body)["n"]
                assert view.state is State.DONE, view.error
                assert charged[str(n)] == 1
                for step in await store.journal.steps(one):
                    if step.key.kind is StepKind.LLM:
                        assert asked[f"{n}-{step.key.name}"] <= 1 + step.ambiguous
            told = await whole_history(store.messages)
        assert illegal_paths(told) == told_twice(told) == []
        assert Counter(change.id for change in told if change.state in ENDS) == dict.fromkeys(self.ids, 1)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(delay_s=0.15) as upstream:
        yield upstream


@pytest.fixture
async def storm(tmp_path: Path, upstream: Upstream, private_postgres: Server) -> AsyncIterator[Storm]:
    (tmp_path / "data").mkdir(mode=0o700)
    url = await private_postgres.create("storm")
    async with Chaos(url) as chaos:
        storm = Storm(tmp_path, upstream, private_postgres, chaos, url)
        try:
            yield storm
        finally:
            storm.ground.end()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_that_is_stopped_and_started_under_load_costs_nothing_but_time(storm: Storm, mode: Any) -> None:
    async def restart(dice: random.Random) -> None:
        await storm.server.stop(mode)
        await asyncio.sleep(dice.uniform(0.1, 1.0))
        await storm.server.start()

    await storm.rage(restart)
    await storm.check()


@pytest.mark.timeout(600)
async def test_connections_that_are_cut_cost_nothing_but_time(storm: Storm) -> None:
    async def cut(dice: random.Random) -> None:
        match dice.randrange(4):
            case 0:
                storm.chaos.cut()
            case 1:
                storm.chaos.lose_answer()
            case 2:
                storm.chaos.cut_after(dice.randrange(1, 4000))
            case _:
                storm.chaos.stall()
                await asyncio.sleep(dice.uniform(0.1, 1.0))
                await storm.chaos.heal()

    await storm.rage(cut)
    await storm.chaos.heal()
    await storm.check()
