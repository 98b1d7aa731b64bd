"""Proof 3: a worker frozen until a second one declared it dead, then continued, can write nothing to the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure.agents.journal import StepKind
from perdure.messages.message import State
from perdure.messages.registry import AgentCard, WorkerCard

FROZEN = Path(__file__).parent / "frozen.py"
MESSAGES = 10
BOTH = pytest.mark.parametrize("engine", ["sqlite", "postgres"])


@BOTH
async def test_every_write_of_a_frozen_worker_is_refused(ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ids = await seer.put("slow", [{"s": 0}] * 3)
    where = [str(ground.folder / "data"), *([ground.database_url] if ground.database_url else [])]
    frozen = subprocess.Popen([sys.executable, str(FROZEN), *where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert frozen.stdout is not None
    assert frozen.stdout.readline() == "ready\n"
    os.kill(frozen.pid, signal.SIGSTOP)

    second = await seer.store.workers.register(
        WorkerCard(host="here", pid=os.getpid(), slots=3, agents=[AgentCard(name="slow", version="1")])
    )
    seconds_heart = seer.store.workers.heart(second)
    await seer.until(lambda: reaped(seer, seconds_heart), what="the frozen worker is declared dead", within_s=30)
    again = await seer.store.messages.lease(await seer.store.messages.routes(), limit=3, worker=second)
    assert {lease.message.id for lease in again} == set(ids)
    before = await everything(seer, ids)

    os.kill(frozen.pid, signal.SIGCONT)
    out, _ = frozen.communicate("go on\n", timeout=60)
    said = json.loads(out)
    assert await everything(seer, ids) == before
    assert set(said.values()) <= {"lease-lost", "worker-fenced"}
    assert len(said) == 3 * 10 + 2
    refused = (await seer.store.messages.counters()).get("refused_stale", 0)
    for lease in again:
        await seer.store.messages.done(lease, b'"by the second"')
    seconds_heart.close()
    await seer.store.workers.bow_out(second)
    assert all(view.result == b'"by the second"' for view in await seer.views())
    with capsys.disabled():
        print(f"\nfrozen worker: {len(said)} writes tried, 0 written; refused_stale {refused}")


async def reaped(seer: Any, heart: Any) -> bool:
    heart.beat()
    return bool(await seer.store.workers.reap(dead_after_s=1.0))


async def everything(seer: Any, ids: list[Any]) -> Any:
    """All that the frozen worker could have changed."""
    views = [await seer.store.messages.get(one) for one in ids]
    steps = [list(await seer.steps(one)) for one in ids]
    memory = await seer.store.memory.read("default", "slow", "who")
    attempts = [list(await seer.store.messages.attempts(one)) for one in ids]
    return msgspec.to_builtins([views, steps, attempts, None if memory is None else memory.decode()])


@BOTH
@pytest.mark.timeout(120)
async def test_a_real_worker_frozen_in_its_runs_writes_nothing_when_it_goes_on(
    ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await seer.put("slow", [{"s": 2.0}] * MESSAGES)
    first = ground.worker("--slots", str(MESSAGES))
    await seer.until(lambda: begun_by(ground, first.pid), what=f"the first worker begins all: {ground.said()}")
    os.kill(first.pid, signal.SIGSTOP)
    second = ground.worker("--slots", str(MESSAGES), PERDURE_WORKER__DEAD_AFTER_S="3")
    await seer.until(lambda: taken_again(seer, ground, MESSAGES), what=f"the second worker takes all: {ground.said()}")
    os.kill(first.pid, signal.SIGCONT)  # now both are in the middle of the same runs, and only one has the right to be
    assert first.wait(30) == 76, ground.said()
    await seer.until(lambda: all_done(seer), what=f"the second worker ends all: {ground.said()}")

    views = await seer.views()
    for view in views:
        assert json.loads(view.result)["ended"] == second.pid
        steps = await seer.steps(view.message.id)
        memory_writes = [json.loads(step.request or b"null") for step in steps if step.key.kind is StepKind.MEMORY]
        assert str(first.pid) not in json.dumps(memory_writes)
        assert sum(step.key.name == "end" for step in steps) == 1
    assert await seer.store.memory.read("default", "slow", "who") == str(second.pid).encode()
    second.terminate()
    assert second.wait(30) == 0
    with capsys.disabled():
        print(f"\nfrozen real worker: {MESSAGES} runs taken over, 0 results, steps or memories of the frozen one")


async def begun_by(ground: Any, pid: int) -> bool:
    return len(ground.traces("begun")) == MESSAGES


async def taken_again(seer: Any, ground: Any, count: int) -> bool:
    return len(ground.traces("begun")) == 2 * count


async def all_done(seer: Any) -> bool:
    return len(await seer.views(state=State.DONE)) == MESSAGES
