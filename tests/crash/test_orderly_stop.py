"""A worker is told to end while its runs are under way, as at a deploy: they get their grace, and then go on elsewhere at once."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from typing import Any

import pytest

from crash.books import check_everything
from crash.watch import Watch
from perdure.messages.message import MessageId, State
from perdure.messages.store import Change

QUICK, LONG = 4, 16
GRACE_S = 3.0
SILENCE_S = "120"
"""Nobody is called dead in this test: what goes on elsewhere was given back."""
ELSEWHERE_S = 10.0
"""Between being given back and being taken again: on a machine of its own it is some hundredths of a second."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_runs_end_within_their_grace_or_go_on_elsewhere_from_their_last_step(
    ground: Any, seer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"PERDURE_WORKER__GRACE_S": str(GRACE_S), "PERDURE_WORKER__DEAD_AFTER_S": SILENCE_S}
    watch = Watch(lambda: Counter(seen.tag for seen in ground.requests()))
    first = ground.worker("--slots", str(QUICK + LONG), **environ)
    quick = await seer.put("gated", [{"n": n, "gate": "opened in time"} for n in range(QUICK)])
    long = await seer.put("gated", [{"n": QUICK + n, "gate": "opened late"} for n in range(LONG)])
    await seer.until(lambda: at_the_gate(ground, QUICK + LONG), what=f"the first worker is at all of them: {ground.said()}")
    second = ground.worker("--slots", str(QUICK + LONG), **environ)
    await seer.until(lambda: living(seer, 2), what=f"the second worker lives: {ground.said()}")
    await watch.look(seer.store)

    first.send_signal(signal.SIGTERM)
    (ground.folder / "opened in time").touch()
    await seer.until(lambda: at_the_gate(ground, QUICK + 2 * LONG), what=f"the second worker goes on: {ground.said()}")
    assert await asyncio.to_thread(first.wait, 60) == 0, ground.said()
    await watch.look(seer.store)
    (ground.folder / "opened late").touch()
    await seer.until(lambda: all_done(seer, QUICK + LONG), what=f"all end: {ground.said()}")
    second.terminate()
    assert await asyncio.to_thread(second.wait, 60) == 0

    books = await check_everything(ground.settings, watch, put=[*quick, *long], leasers=2)
    results = {one: json.loads(view.result or b"null") for one, view in books.views.items()}
    assert [results[one] for one in quick] == [{"before": first.pid, "after": first.pid}] * QUICK, "they had the time to end"
    assert [results[one] for one in long] == [{"before": first.pid, "after": second.pid}] * LONG, "from the last step on"
    assert {(view.attempt, view.crashes) for view in books.views.values()} == {(1, 0)}, "no attempt is used, and nobody has crashed"
    assert {step.tries for steps in books.steps.values() for step in steps} == {1}, "no step was made again"
    assert set(books.asked.values()) == {1}
    gaps_s = [gap_s(books.told, one) for one in long]
    with capsys.disabled():
        print(f"\norderly stop: {LONG} runs went on elsewhere {max(gaps_s):.3f} s after they were given back, at most")
    assert max(gaps_s) < ELSEWHERE_S


def gap_s(told: list[Change], one: MessageId) -> float:
    """How long it lay ready between its two workers."""
    moves = [change for change in told if change.id == one]
    assert [change.state for change in moves] == [State.READY, State.LEASED, State.READY, State.LEASED, State.DONE]
    return moves[3].at - moves[2].at


async def at_the_gate(ground: Any, count: int) -> bool:
    return len(ground.traces("at the gate")) >= count


async def living(seer: Any, count: int) -> bool:
    return await seer.living() >= count


async def all_done(seer: Any, count: int) -> bool:
    return len(await seer.views(state=State.DONE)) == count
