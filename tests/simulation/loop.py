"""An event loop whose time passes only when nothing else can happen, and whose dice are seeded: the same seed, the same run.

Theory of operation. What makes concurrent programs behave differently from run to run is when answers from outside
arrive. Here nothing is outside: every wait is a timer of this loop, its length drawn from the seeded dice, and threads
do not exist (`run_in_executor` calls at once). When no callback is ready, time jumps to the next timer. An hour takes
milliseconds, and a failing seed fails every time.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import perdure.clock

__all__ = ["SeededLoop", "Stuck", "seeded"]

START = 1_790_000_000.0


class Stuck(AssertionError):
    """Nothing is ready and nobody waits for a moment: whoever waits, waits for ever."""


class SeededLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they became ready; only how long waits take is left to the dice."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dice = random.Random(seed)
        self.passed_s = 0.0
        self.set_ahead_s = 0.0
        """By how much somebody has set the world's clock; no timer here follows it."""
        self.full_until = 0.0
        """So long there is little room on the world's disk."""
        self.turns = 0
        self.ending = False
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.passed_s

    def now(self) -> float:
        """The world's clock, for stores."""
        return START + self.passed_s + self.set_ahead_s

    def is_full(self) -> bool:
        """Whether nothing can be written to the disk now: somebody makes a little room again and again, and it is used up at once."""
        return self.passed_s < self.full_until and self.passed_s % 1.0 < 0.6

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        done = self.create_future()

        def call() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(func(*args))
            except Exception as error:
                done.set_exception(error)

        self.call_soon(call)
        return done

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        return self.call_soon(callback, *args, context=context)

    def _run_once(self) -> None:
        scheduled, ready = self._scheduled, self._ready  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise Stuck("nothing can happen any more")
            self.passed_s = max(self.passed_s, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self.passed_s:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                self.turns += 1
                handle._run()

    def _write_to_self(self) -> None:
        """There is no other thread to be woken from."""

    def _process_events(self, event_list: Any) -> None:
        """There are none."""


@contextmanager
def seeded(seed: int) -> Iterator[SeededLoop]:
    """Have everything of Perdure take its time and its dice from a seeded loop."""
    loop = SeededLoop(seed)
    stand_ins = {"awake": loop.time, "now": loop.now, "chance": loop.dice.random}
    real = {name: getattr(perdure.clock, name) for name in stand_ins}
    patched = [
        (module, name)
        for module in [one for path, one in sys.modules.items() if path.startswith("perdure")]
        for name in stand_ins
        if getattr(module, name, None) is real[name]
    ]
    for module, name in patched:
        setattr(module, name, stand_ins[name])
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        for module, name in patched:
            setattr(module, name, real[name])
        _sweep(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _sweep(loop: SeededLoop) -> None:
    """End what processes left behind when they were killed."""
    loop.ending = True
    for _ in range(100):
        left = asyncio.all_tasks(loop)
        if not left:
            return
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=60.0))
