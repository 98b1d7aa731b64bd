"""There is no leader: whoever would take the dead one's messages back may die as well, and the next one does it in the same time."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import pytest

from perdure.clock import now
from perdure.messages.message import State

EACH = 10
SILENCE_S = 10.0
PATIENCE_S = 60.0
"""On a machine of its own it is less than 1 s by the lock and 10 s by silence: so many seconds are for benchmarks to hold."""
BOTH = pytest.mark.parametrize("engine", ["sqlite", "postgres"])


async def living(seer: Any, count: int) -> bool:
    return await seer.living() >= count


async def begun(ground: Any, count: int) -> bool:
    return len(ground.traces("begun")) >= count


@BOTH
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("struck_by", "silence_s"), [(signal.SIGKILL, "120"), (signal.SIGSTOP, str(SILENCE_S))], ids=["killed", "silent"])
async def test_the_messages_of_two_that_are_gone_run_again_on_the_third(
    ground: Any, seer: Any, struck_by: signal.Signals, silence_s: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whom the kernel's lock shows to be dead is found out without waiting for a silence of two minutes."""
    environ = {"PERDURE_WORKER__DEAD_AFTER_S": silence_s}
    await seer.put("slow", [{"s": 600.0}] * 2 * EACH)
    doomed = [ground.worker("--slots", str(EACH), **environ) for _ in range(2)]
    await seer.until(lambda: begun(ground, 2 * EACH), what=f"two workers begin all: {ground.said()}")
    third = ground.worker("--slots", str(2 * EACH), **environ)
    await seer.until(lambda: living(seer, 3), what=f"the third lives: {ground.said()}")

    first, second = random.sample(doomed, 2)
    os.kill(first.pid, struck_by)
    os.kill(second.pid, struck_by)
    struck_at = now()
    await seer.until(lambda: begun(ground, 4 * EACH), what=f"all begin again: {ground.said()}", within_s=PATIENCE_S)
    took_s = now() - struck_at
    with capsys.disabled():
        print(f"\n{2 * EACH} messages of two workers struck by {struck_by.name} ran again after {took_s:.2f} s")
    assert {line.split()[1] for line in ground.traces("begun")[2 * EACH :]} == {str(third.pid)}
    assert {view.state for view in await seer.views()} == {State.LEASED}
