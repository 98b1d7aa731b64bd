"""Somebody sets the machine's clock while workers are busy: nobody living is declared dead, and timers keep to the clock there is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crash.books import check_everything
from crash.conftest import Seer
from crash.watch import Watch
from perdure.app import open_store
from perdure.messages.message import State

SHIFTED = Path(__file__).parent / "shifted.py"
ORDERS = 60
JUMPS_S = (3600, -3600, 60, -60)
HOUR_S = 3600.0


class SetClock:
    """The clock that all processes here go by."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.ahead_s = 0.0
        self.set(0.0)

    def set(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s
        new = self.file.with_suffix(".new")
        new.write_text(str(ahead_s))
        new.rename(self.file)

    def now(self) -> float:
        return time.time() + self.ahead_s


def start(ground: Any, clock: SetClock) -> subprocess.Popen[bytes]:
    child: subprocess.Popen[bytes] = ground.start([sys.executable, str(SHIFTED), str(ground.folder / "data"), str(clock.file)])
    return child


async def all_done(seer: Any, count: int) -> bool:
    return len(await seer.views(state=State.DONE)) == count


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_workers_live_on_and_lose_nothing_whatever_the_clock_is_set_to(ground: Any) -> None:
    clock = SetClock(ground.folder / "clock")
    watch = Watch(lambda: Counter(seen.tag for seen in ground.requests()))
    (ground.folder / "data").mkdir(mode=0o700)
    async with open_store(ground.settings, clock=clock) as store:
        seer = Seer(store)
        workers = [start(ground, clock) for _ in range(2)]

        async def both_live() -> bool:
            return await seer.living() == 2

        async def both_have_beaten(since: dict[Any, float]) -> bool:
            beats = {worker.id: worker.beat_at for worker in await store.workers.workers() if worker.alive}
            return len(beats) == 2 and all(beat != since.get(one) for one, beat in beats.items())

        await seer.until(both_live, what=f"both live: {ground.said()}")
        ids = await seer.put("order", [{"n": n} for n in range(ORDERS)])
        for jump_s in JUMPS_S:
            clock.set(clock.ahead_s + jump_s)
            before = {worker.id: worker.beat_at for worker in await store.workers.workers()}
            await seer.until(lambda since=before: both_have_beaten(since), what=f"both go on beating: {ground.said()}")
            await watch.look(store)
        await seer.until(lambda: all_done(seer, ORDERS), what=f"all are done: {ground.said()}")
        assert [worker.poll() for worker in workers] == [None, None], ground.said()
        views = await seer.views()
        assert {(view.crashes, view.attempt) for view in views} == {(0, 1)}, "nobody was taken for dead"

        put_at = clock.now()
        ids += await seer.put("order", [{"n": ORDERS}], due_at=put_at + HOUR_S / 2)
        clock.set(clock.ahead_s + HOUR_S)
        await seer.until(lambda: all_done(seer, ORDERS + 1), what="what was due within the hour runs once the hour is over")
        clock.set(clock.ahead_s - HOUR_S)
        ids += await seer.put("order", [{"n": ORDERS + 1}], due_at=clock.now() + 1.0)
        await seer.until(lambda: all_done(seer, ORDERS + 2), what="what is due in a second runs, though the clock was set back")
    for worker in workers:
        worker.terminate()
    for worker in workers:
        assert await asyncio.to_thread(worker.wait, 60) == 0, ground.said()
    charges = Counter(ground.traces("charges"))
    await check_everything(ground.settings, watch, put=ids, tool_runs={one: charges[str(n)] for n, one in enumerate(ids)}, leasers=3)
