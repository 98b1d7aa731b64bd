"""The supervisor keeps worker processes running: starts them, starts them again, and ends them in order.

It knows nothing of messages. A worker that asks for it (a thread hung) is replaced at once; one that dies
is replaced at once too if it had lived a while, and with growing pauses if it had not, so that an agent
module that cannot be imported does not turn into a busy loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence

from perdure.clock import awake, chance
from perdure.errors.base import ConfigError
from perdure.events import tell
from perdure.worker.child import run_child
from perdure.worker.end import WorkerEnd

__all__ = ["Supervisor", "pause_before_restart_s"]

UNUSABLE = 2
"""The exit code of a process that another start would not help: wrong settings, agents that cannot be imported."""
LIVED_S = 10.0
"""A process that lived at least this long is replaced without a pause."""
LONGEST_PAUSE_S = 30.0
_log = logging.getLogger("perdure.supervisor")


class Supervisor:
    """Keeps worker processes.

    Args:
        command (Sequence[str]): Starts one.
        processes (int): How many.
        grace_s (float): What their running messages get at an orderly stop.
        environ (Mapping[str, str] | None): Their environment; None for ours.
    """

    def __init__(self, command: Sequence[str], *, processes: int, grace_s: float = 10.0, environ: Mapping[str, str] | None = None) -> None:
        self._command = list(command)
        self._processes = processes
        self._grace_s = grace_s
        self._environ = environ
        self._pids: set[int] = set()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that live."""
        return sorted(self._pids)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the processes until asked to stop, then end them: SIGTERM, their grace, SIGKILL.

        Args:
            stop (asyncio.Event): When to end.

        Raises:
            ConfigError: A worker says that it cannot be used as it is set up; all were ended.
        """
        if self._processes == 0:
            await stop.wait()
            return
        ending = asyncio.Event()
        asked = asyncio.create_task(_pass_on(stop, ending))
        try:
            codes = await asyncio.gather(*(self._keep(place, ending) for place in range(self._processes)))
        finally:
            asked.cancel()
        if UNUSABLE in codes:
            raise ConfigError("a worker process cannot start with these settings", hint="What is wrong stands above, in its own words.")

    async def _keep(self, place: int, stop: asyncio.Event) -> int:
        code = short_lives = 0
        while not stop.is_set():
            began = awake()
            code = await self._one(stop)
            if code == UNUSABLE:
                stop.set()
            if stop.is_set():
                break
            lived_s = awake() - began
            pause_s = pause_before_restart_s(code, lived_s=lived_s, short_lives=short_lives, dice=chance())
            short_lives = short_lives + 1 if pause_s or lived_s < LIVED_S else 0
            _log.warning("worker process %d ended with %d after %.1f s; another starts in %.1f s", place, code, lived_s, pause_s)
            tell("worker.restarted", place=place, code=code, lived_s=lived_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
        return code

    async def _one(self, stop: asyncio.Event) -> int:
        try:
            return await run_child(self._command, stop, grace_s=self._grace_s, environ=self._environ, pids=self._pids)
        except OSError as error:
            _log.error("no worker process could be started with %r: %s", self._command[0], error)
            return 1


async def _pass_on(stop: asyncio.Event, ending: asyncio.Event) -> None:
    await stop.wait()
    ending.set()


def pause_before_restart_s(code: int, *, lived_s: float, short_lives: int, dice: float) -> float:
    """Say how long to wait before a process is replaced.

    Args:
        code (int): What the last one ended with.
        lived_s (float): How long it lived.
        short_lives (int): How many before it, without a break, had lived only briefly.
        dice (float): A random number in [0, 1).

    Returns:
        float: 0 for one that asked for it or had lived a while, and for the first that had not.
    """
    asked_for = code in {WorkerEnd.STOPPED.exit_code, WorkerEnd.RECYCLE.exit_code, WorkerEnd.FENCED.exit_code}
    if lived_s >= LIVED_S or (short_lives == 0 and (asked_for or code < 0)):
        return 0.0
    return (0.5 + dice / 2) * min(LONGEST_PAUSE_S, 2.0 ** min(short_lives, 10) / 2)
