"""What any living worker does for all: reaping the dead, and tending what time demands.

There is no leader. Every worker does both in rounds, a little out of step with the others; the store
makes a round cheap when there is nothing to do and harmless when two do it at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

from perdure.clock import Clock, awake, chance, now
from perdure.errors.base import StoreError
from perdure.errors.handler import handle
from perdure.messages.registry import BEAT_S, DEAD_AFTER_S, WorkerRegistry
from perdure.messages.store import MessageStore

__all__ = ["FRESH_S", "Duties", "rounds"]

REAP_S = 0.25
TEND_S = 0.25
FRESH_S = 2 * BEAT_S + 1.0
"""Whoever has just begun to look leaves the living this long to beat: he cannot know what happened to the clock before."""
_SOONEST_S = 0.01
_TROUBLE_S = 5.0
_log = logging.getLogger("perdure.worker")


class Duties:
    """The rounds of one worker.

    Args:
        messages (MessageStore): What is tended.
        workers (WorkerRegistry): Who is reaped.
        clock (Clock): The store's time.
        dead_after_s (float): Silence after which a worker counts as dead.
    """

    def __init__(self, messages: MessageStore, workers: WorkerRegistry, clock: Clock, *, dead_after_s: float = DEAD_AFTER_S) -> None:
        self._messages = messages
        self._workers = workers
        self._clock = clock
        self._dead_after_s = dead_after_s
        self._looked_at: tuple[float, float] | None = None
        self._judges_from = -math.inf

    async def run(self) -> None:
        """Do both until cancelled."""
        await asyncio.gather(rounds("reaping", self.reap), rounds("tending", self.tend))

    async def reap(self) -> float:
        """Take back what dead workers held. Just after a pause of the machine silence means nothing; a free lock does.

        Returns:
            float: Seconds until the next round.
        """
        silence_s = self._dead_after_s if self._may_judge() else math.inf
        await self._workers.reap(dead_after_s=silence_s)  # tells of each, when it is committed
        return REAP_S

    def _may_judge(self) -> bool:
        """Whether silence means death: not until all could beat since we began to look, stood still, or the clock was set.

        A machine that was suspended, or a container that was frozen, wakes everybody at once, and everybody's
        last beat is then old.
        """
        before, (steady, set_by_hand) = self._looked_at, (awake(), now())
        self._looked_at = steady, set_by_hand
        if before is None:
            self._judges_from = steady + min(FRESH_S, self._dead_after_s)
        else:
            passed_s = steady - before[0]
            jumped_s = abs(set_by_hand - before[1] - passed_s)
            if max(passed_s, jumped_s) > self._dead_after_s / 2 + 2 * REAP_S:
                _log.warning("this machine stood still or its clock was set: workers get %.0f s to say that they live", self._dead_after_s)
                self._judges_from = steady + self._dead_after_s
        return steady >= self._judges_from

    async def tend(self) -> float:
        """Do what time demands.

        Returns:
            float: Seconds until the next round.
        """
        tended = await self._messages.tend()
        if tended.next_due_at is None:
            return TEND_S
        return min(TEND_S, max(_SOONEST_S, tended.next_due_at - self._clock.now()))


async def rounds(what: str, once: Callable[[], Awaitable[float]]) -> None:
    """Do something again and again, with jitter between; trouble is logged and makes the pauses longer.

    Args:
        what (str): Its name in the log.
        once (Callable[[], Awaitable[float]]): Does it and tells the seconds until the next time.
    """
    failed = 0
    while True:
        try:
            pause_s, failed = await once(), 0
        except StoreError as error:
            failed += 1
            pause_s = min(0.25 * 2 ** min(failed, 10), _TROUBLE_S)
            handle(error, where="worker.rounds", what=f"{what} failed, again in about {pause_s:.1f} s")
        except Exception as error:  # a round that breaks must not take the worker along: others may depend on it alone
            failed, pause_s = failed + 1, _TROUBLE_S
            handle(error, where="worker.rounds", what=f"{what} broke", broke=True)
        await asyncio.sleep(pause_s * (0.75 + 0.5 * chance()))
