"""The crew: one executor for each message under way, and how they all come to an end."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping

from perdure.agents.agent import Agent
from perdure.events import tell
from perdure.messages.message import Lease
from perdure.worker.end import WorkerEnd
from perdure.worker.executor import CalledOff, Executor, Workplace
from perdure.worker.slots import Slots

__all__ = ["Crew"]

SETTLE_LIMIT_S = 5.0
"""What the last writes of a worker that ends may take."""
_log = logging.getLogger("perdure.worker")


class Crew:
    """Works all messages of one worker.

    Args:
        agents (Mapping[str, Agent]): The worker's agents by name.
        slots (Slots): Where room is counted.
        place (Workplace): What the executors share.
    """

    def __init__(self, agents: Mapping[str, Agent], slots: Slots, place: Workplace) -> None:
        self._agents = agents
        self._slots = slots
        self._place = place
        self._working: dict[asyncio.Task[None], Executor] = {}

    def take(self, lease: Lease) -> None:
        """Begin to work a message.

        Args:
            lease (Lease): The right to it.
        """
        agent = self._agents[lease.message.agent]
        self._slots.take(agent)
        executor = Executor(lease, agent, self._place, on_free=lambda: self._slots.free(agent))
        task = asyncio.create_task(executor.execute())
        self._working[task] = executor
        task.add_done_callback(self._settled)

    async def drop_when_fenced(self) -> None:
        """Call everything off the moment the worker is declared dead, whatever else it is waiting for."""
        await self._place.last_call.wait_fenced()
        tell("worker.fenced", pid=os.getpid(), dropped=len(self._working))
        for executor in self._working.values():
            executor.call_off(CalledOff.FENCED)

    async def drain(self, grace_s: float) -> None:
        """Give running messages their grace, then take them back from their last step.

        A fenced worker gives none: it drops everything at once.

        Args:
            grace_s (float): How long they may go on.
        """
        try:
            await self._patience(grace_s)
        finally:
            await self._call_off(CalledOff.FENCED if self._place.last_call.fenced else CalledOff.STOPPING)

    async def _patience(self, grace_s: float) -> None:
        fenced = asyncio.ensure_future(self._place.last_call.wait_fenced())
        ended = asyncio.ensure_future(self._all_ended())
        try:
            await asyncio.wait({fenced, ended}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            fenced.cancel()
            ended.cancel()

    async def _all_ended(self) -> None:
        if self._working:
            await asyncio.wait(list(self._working))

    async def _call_off(self, why: CalledOff) -> None:
        for executor in self._working.values():
            executor.call_off(why)
        if self._working:
            await asyncio.wait(list(self._working), timeout=SETTLE_LIMIT_S)
        for task in self._working:
            task.cancel()

    def _settled(self, task: asyncio.Task[None]) -> None:
        del self._working[task]
        self._slots.settled()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a message could not be brought to its end; this worker recycles itself", exc_info=error)
            self._place.last_call.call(WorkerEnd.RECYCLE)  # its lease goes back with us
