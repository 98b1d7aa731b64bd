"""Workers that are struck while they are busy, and what must be true when it is over."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from crash.books import check_everything
from crash.conftest import Ground, Seer
from crash.deciding import decide_the_waiting
from crash.seeds import seed
from crash.watch import Watch
from perdure.app import open_store
from perdure.config.settings import Settings
from perdure.errors.base import StoreError
from perdure.messages.message import ENDS, MessageId, State
from perdure.testing.upstream import Upstream

__all__ = ["STORM_S", "Storm"]

ORDERS = 60
STORM_S = float(os.environ.get("CRASH_STORM_S", "6"))


class Storm:
    """Two workers with orders, and someone who looks at the store without them.

    Args:
        folder (Path): Where traces and the log of the processes go, and the data if that is not given.
        upstream (Upstream): Who answers prompts.
        url (str | None): How the workers reach their PostgreSQL; None for SQLite.
        seen_from (str | None): How the one who looks reaches it; None for the same way.
        data (Path | None): The data folder.
        without (Sequence[str]): What this PostgreSQL cannot do, as the settings name it.
    """

    def __init__(
        self,
        folder: Path,
        upstream: Upstream,
        url: str | None,
        *,
        seen_from: str | None = None,
        data: Path | None = None,
        without: Sequence[str] = (),
    ) -> None:
        self.upstream = upstream
        self.ground = Ground(folder, upstream.base_url, url)
        data = data or folder / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        self.ground.environ["PERDURE_DATA"] = str(data)
        where = seen_from or url
        if without:
            self.ground.environ["PERDURE_STORE__WITHOUT"] = json.dumps(list(without))
        self.settings = Settings.model_validate({"data": data, "store": {"url": where, "without": list(without)} if where else {}})
        self.watch = Watch(lambda: Counter(seen.tag for seen in list(upstream.requests)))
        self.ids: list[MessageId] = []

    async def rage(self, blow: Callable[[random.Random], Awaitable[None]], *, orders: int = ORDERS, storm_s: float = STORM_S) -> None:
        """Put, work, and be struck; then see everything to its end."""
        dice = random.Random(seed())
        workers = [self.ground.worker("--slots", "15") for _ in range(2)]
        async with open_store(self.settings) as store:
            seer = Seer(store)

            async def both_live() -> bool:
                return await seer.living() == len(workers)

            await seer.until(both_live, what=f"the workers live: {self.ground.said()}")
            for n in range(orders):  # every fourth stands in a line
                self.ids += await seer.put("order", [{"n": n}], session=f"line-{n % 8}" if n % 4 == 0 else None)
        looking = asyncio.create_task(self.watch.go_on_looking(self.settings))
        try:
            ends_at = asyncio.get_running_loop().time() + storm_s
            while asyncio.get_running_loop().time() < ends_at:
                await asyncio.sleep(dice.uniform(0.2, 1.5))
                await blow(dice)
            await self.calm()
        finally:
            looking.cancel()
            await asyncio.wait([looking])
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
                    await decide_the_waiting(store, set(self.ground.traces("charges")))
                    if all(view.state in ENDS for view in views):
                        return
                    said = Counter(view.state.value for view in views)
            except StoreError as error:  # it is just coming back
                said = error
            await asyncio.sleep(0.2)
        raise AssertionError(f"not all ended: {said} {self.ground.said()}")

    async def check(self) -> None:
        """Nothing is lost, nothing ended twice, nothing was charged or billed more often than is said."""
        charged = Counter(self.ground.traces("charges"))
        runs = {one: charged[str(n)] for n, one in enumerate(self.ids)}
        books = await check_everything(self.settings, self.watch, put=self.ids, tool_runs=runs, leasers=3)
        assert {view.state for view in books.views.values()} == {State.DONE}
        assert books.recorded, "somebody looked on"
