"""How a process that runs until it is told otherwise is told: once to end in order, twice to end at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from perdure.cli.exits import Exit
from perdure.cli.words import say

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LEAVE_S = 1.0

__all__ = ["Ending", "run_until_told", "somebody_goes_on"]


class Ending:
    """What the first signal sets, and what the second one does.

    Args:
        grace_s (float): How long ending in order may take, for the words.
        quiet (bool): Leave the words to the process that started this one.
    """

    def __init__(self, grace_s: float, *, quiet: bool = False) -> None:
        self.stop: asyncio.Event = asyncio.Event()
        self.forced: bool = False
        self._grace_s = grace_s
        self._quiet = quiet
        self._work = asyncio.current_task()

    def listen(self) -> None:
        """Take the signals over, on the running event loop."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._told, number)

    def _told(self, number: signal.Signals) -> None:
        if not self.stop.is_set():
            again = "; Ctrl-C again ends at once" if number == signal.SIGINT else ""
            self.stop.set()
            if not self._quiet:
                say(f"ending: running messages get {self._grace_s:g} s{again}")
        elif self._work is not None:
            self.forced = True
            self._work.cancel()


def run_until_told(work: Coroutine[Any, Any, int], *, broken: int | None = None) -> int:
    """Run a coroutine on the fastest event loop there is.

    Args:
        work (Coroutine[Any, Any, int]): Ends by itself once told to.
        broken (int | None): The exit code with which the process ends at once, nothing put in order, when
            code of users breaks the loop from below (`sys.exit` in a task of its own). What it held then
            counts as crashed; given back in order it would break the next worker, again and again.

    Returns:
        int: What it returned; 130 if it was forced to end.
    """
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            try:
                return runner.run(work)
            except (SystemExit, KeyboardInterrupt) as error:
                if broken is None:
                    raise
                say(f"{type(error).__name__} came from a task that an agent had started: this process ends at once")
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(broken)
    except asyncio.CancelledError:
        say("ended at once; what was running is taken up again at the next start")
        return Exit.INTERRUPTED


async def somebody_goes_on() -> bool:
    """Tell all other tasks to end, and whether one does not: code of users that catches every cancellation.

    Returns:
        bool: True if the event loop could not be closed, since closing it waits for them all.
    """
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_LEAVE_S)
    return not all(task.done() for task in others)


def _loop_factory() -> Any:
    if sys.platform == "win32":
        return None
    import uvloop  # not there on every platform

    return uvloop.new_event_loop
