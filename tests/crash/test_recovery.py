"""How soon the messages of a dead worker run again, and what a poisoned one does to those beside it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from typing import Any

import pytest

from perdure.clock import now
from perdure.messages.message import State
from perdure.worker.supervisor import Supervisor

SILENCE_S = "120"
"""Nobody is called dead for being silent here. On a machine of its own it takes less than 2 s, which is for benchmarks to hold."""
BOTH = pytest.mark.parametrize("engine", ["sqlite", "postgres"])


@BOTH
async def test_a_killed_workers_messages_run_again_long_before_its_silence_would_tell(
    ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ground.worker("--slots", "20", PERDURE_WORKER__DEAD_AFTER_S=SILENCE_S)
    await seer.until(lambda: living(seer, 1), what=f"the first worker lives: {ground.said()}")
    await seer.put("slow", [{"s": 600.0}] * 20)
    await seer.until(lambda: begun(ground, 20), what="the first worker begins all")
    second = ground.worker("--slots", "20", PERDURE_WORKER__DEAD_AFTER_S=SILENCE_S)
    await seer.until(lambda: living(seer, 2), what=f"the second worker lives: {ground.said()}")
    killed_at = now()
    os.kill(first.pid, signal.SIGKILL)
    await seer.until(lambda: begun(ground, 40), what="the second worker begins all again")
    took_s = now() - killed_at
    with capsys.disabled():
        print(f"\nrecovery: 20 messages of a killed worker ran again after {took_s:.2f} s")
    second.kill()


@BOTH
async def test_the_only_worker_of_a_supervisor_is_replaced_and_goes_on(ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    supervisor, stop = Supervisor(ground.command("worker", "--slots", "20"), processes=1, environ=ground.environ), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    await seer.until(lambda: living(seer, 1), what=f"the worker lives: {ground.said()}")
    await seer.put("slow", [{"s": 600.0}] * 20)
    await seer.until(lambda: begun(ground, 20), what="the worker begins all")
    killed_at = now()
    os.kill(supervisor.pids[0], signal.SIGKILL)
    await seer.until(lambda: begun(ground, 40), what="its successor begins all again")
    with capsys.disabled():
        print(f"\nrecovery: 20 messages of the only worker ran again after {now() - killed_at:.2f} s, a new process included")
    for pid in supervisor.pids:
        os.kill(pid, signal.SIGKILL)
    stop.set()
    await asyncio.wait_for(running, 30)


@pytest.mark.timeout(180)
async def test_a_poisoned_message_costs_those_beside_it_nothing_but_time(
    ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = await seer.put("order", [{"n": n} for n in range(50)])
    [poisoned] = await seer.put("poison", [None], priority=0)
    supervisor, stop = Supervisor(ground.command("worker", "--slots", "60"), processes=1, environ=ground.environ), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    began = now()
    await seer.until(lambda: dead(seer, poisoned), what="the poisoned message is dead", within_s=90)
    await seer.until(lambda: ended_or_waiting(seer, len(orders)), what="the others end", within_s=60)
    stop.set()
    await asyncio.wait_for(running, 30)

    view = await seer.store.messages.get(poisoned)
    assert view.error.code == "poison"
    assert len(set(ground.traces("poisoned"))) == 3, "it took three processes down, the last of them alone"
    others = [await seer.store.messages.get(one) for one in orders]
    states = Counter(view.state.value for view in others)
    assert states["dead"] == 0
    assert all(view.attempt <= 1 for view in others)
    assert max(Counter(ground.traces("charges")).values()) == 1
    with capsys.disabled():
        print(f"\npoison: dead after 3 processes and {now() - began:.1f} s; the 50 beside it: {json.dumps(states)}")


async def test_a_hung_thread_makes_its_worker_recycle_itself(ground: Any, seer: Any) -> None:
    [stuck] = await seer.put("hangs", [None], timeout_s=0.2, attempts=2)
    supervisor, stop = Supervisor(ground.command("worker"), processes=1, environ=ground.environ), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    await seer.until(lambda: done(seer, stuck), what=f"a fresh process ends what hung: {ground.said()}")
    view = await seer.store.messages.get(stuck)
    assert (view.result, view.attempt) == (b'"at last"', 2)
    assert len(set(ground.traces("hung"))) == 2, "two processes"
    stop.set()
    await asyncio.wait_for(running, 30)


async def living(seer: Any, count: int) -> bool:
    return await seer.living() >= count


async def begun(ground: Any, count: int) -> bool:
    return len(ground.traces("begun")) >= count


async def dead(seer: Any, one: Any) -> bool:
    return (await seer.store.messages.get(one)).state is State.DEAD


async def done(seer: Any, one: Any) -> bool:
    return (await seer.store.messages.get(one)).state is State.DONE


async def ended_or_waiting(seer: Any, count: int) -> bool:
    return len(await seer.views(state=State.DONE)) + len(await seer.views(state=State.WAITING)) >= count
