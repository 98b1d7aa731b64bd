"""Workers that are struck while they are busy, and what must be true when it is over."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from crash.conftest import Ground, Seer
from crash.history import illegal_paths, told_twice, whole_history
from perdure.agents.journal import Decision, StepKind
from perdure.app import open_store, open_upkeep
from perdure.config.settings import Settings
from perdure.errors.base import StoreError
from perdure.messages.message import ENDS, MessageId, State
from perdure.testing.upstream import Upstream

__all__ = ["STORM_S", "Storm"]

ORDERS = 60
STORM_S = float(os.environ.get("CRASH_STORM_S", "8"))


class Storm:
    """Two workers with orders, and someone who looks at the store without them.

    Args:
        folder (Path): Where traces and the log of the processes go, and the data if that is not given.
        upstream (Upstream): Who answers prompts.
        url (str | None): How the workers reach their PostgreSQL; None for SQLite.
        seen_from (str | None): How the one who looks reaches it; None for the same way.
        data (Path | None): The data folder.
    """

    def __init__(
        self, folder: Path, upstream: Upstream, url: str | None, *, seen_from: str | None = None, data: Path | None = None
    ) -> None:
        self.upstream = upstream
        self.ground = Ground(folder, upstream.base_url, url)
        data = data or folder / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        self.ground.environ["PERDURE_DATA"] = str(data)
        where = seen_from or url
        self.settings = Settings.model_validate({"data": data, "store": {"url": where} if where else {}})
        self.ids: list[MessageId] = []

    async def rage(self, blow: Callable[[random.Random], Awaitable[None]], *, orders: int = ORDERS, storm_s: float = STORM_S) -> None:
        """Put, work, and be struck; then see everything to its end."""
        dice = random.Random(int(os.environ.get("CRASH_SEED", "11")))
        workers = [self.ground.worker("--slots", "15") for _ in range(2)]
        async with open_store(self.settings) as store:
            seer = Seer(store)

            async def both_live() -> bool:
                return await seer.living() == len(workers)

            await seer.until(both_live, what=f"the workers live: {self.ground.said()}")
            self.ids = await seer.put("order", [{"n": n} for n in range(orders)])
        ends_at = asyncio.get_running_loop().time() + storm_s
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
        said: object = "nothing could be read"
        for _ in range(600):
            try:
                async with open_store(self.settings) as store:
                    views = [await store.messages.get(one) for one in self.ids]
                    await self._decide(store, [view for view in views if view.state is State.WAITING])
                    if all(view.state in ENDS for view in views):
                        return
                    said = Counter(view.state.value for view in views)
            except StoreError as error:  # it is just coming back
                said = error
            await asyncio.sleep(0.2)
        raise AssertionError(f"not all ended: {said} {self.ground.said()}")

    async def _decide(self, store: Any, waiting: list[Any]) -> None:
        charged = set(self.ground.traces("charges"))
        for view in waiting:
            n = json.loads(view.message.body)["n"]
            decision = Decision.HAPPENED if str(n) in charged else Decision.RUN_AGAIN
            result = json.dumps(f"charged {n}").encode() if str(n) in charged else None
            await store.journal.decide(view.message.id, view.wait.step, decision, by="key_test", result=result)

    async def check(self) -> None:
        """Nothing is lost, nothing ended twice, nothing was charged or billed more often than is said."""
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
                        times = asked[f"{n}-{step.key.name}"]
                        assert times <= 1 + step.ambiguous, f"{step.key.name} of {n} was asked {times} times: {step} {view}"
            told = await whole_history(store.messages)
        assert illegal_paths(told) == told_twice(told) == []
        assert Counter(change.id for change in told if change.state in ENDS) == dict.fromkeys(self.ids, 1)
        assert await open_upkeep(self.settings).verify() == []
