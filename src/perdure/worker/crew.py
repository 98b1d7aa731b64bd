"""The crew: one executor for each message under way, and how they all come to an end.

Where messages are done quicker than they can be fetched, a few are fetched ahead (`slots.py` says how many): they wait
here, already leased, for a slot to be free. They are the first to go back when the worker ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Mapping

from perdure.agents.agent import Agent
from perdure.errors.base import StoreError
from perdure.errors.handler import handle
from perdure.events import tell
from perdure.messages.message import Lease, MessageId, WorkerId
from perdure.messages.retry import Release
from perdure.messages.store import MessageStore
from perdure.resources.token_bucket import TokenBucket
from perdure.worker.end import WorkerEnd
from perdure.worker.executor import CalledOff, Executor, Workplace
from perdure.worker.settle import Drop
from perdure.worker.slots import Slots

__all__ = ["Crew"]

SETTLE_LIMIT_S = 5.0
"""What the last writes of a worker that ends may take."""
LOOK_S = 1.0
"""The longest time between two looks at what was called off."""
LOOKS_PER_S = 20.0
"""How often at most, however much changes."""
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
        self._ahead: deque[Lease] = deque()
        self._working: dict[tuple[int, int], Executor] = {}
        """By message and token, until the message has reached its next place."""
        self._unsettled = 0
        self._some_work = asyncio.Event()
        self._all_settled = asyncio.Event()
        self._all_settled.set()

    def take(self, lease: Lease) -> None:
        """Begin to work a message, as soon as there is a slot for it.

        Args:
            lease (Lease): The right to it.
        """
        if self._slots.full:
            self._ahead.append(lease)
            self._slots.queue(1)
        else:
            self._begin(lease)

    async def end_what_was_called_off(self, messages: MessageStore, worker: WorkerId) -> None:
        """Call off what somebody has cancelled, within a moment of its being said.

        The store is asked whenever something has changed, but no more often than every few hundredths of a second, and
        not at all while nothing runs here.

        Args:
            messages (MessageStore): Who knows.
            worker (WorkerId): Whose crew this is.
        """
        pace = TokenBucket(rate_per_s=LOOKS_PER_S, burst=1.0)
        while True:
            await self._some_work.wait()
            await pace.take()
            known = messages.heard()
            try:
                for one in await messages.called_off(worker):
                    self._cancel(one)
                await messages.changed(known, timeout_s=LOOK_S)
            except StoreError as error:
                _log.debug("whether anything was called off is not known now: %s", error)
                await asyncio.sleep(LOOK_S)

    def _cancel(self, id: MessageId) -> None:
        for executor in list(self._working.values()):
            if executor.lease.message.id == id:
                executor.call_off(CalledOff.CANCELLED)
        for lease in [lease for lease in self._ahead if lease.message.id == id]:
            self._ahead.remove(lease)
            self._slots.queue(-1)
            self._open()
            self._place.settler.begin(lease, Release(), on_settled=self._close)

    async def drop_when_fenced(self) -> None:
        """Call everything off the moment the worker is declared dead, whatever else it is waiting for."""
        await self._place.last_call.wait_fenced()
        tell("worker.fenced", pid=os.getpid(), dropped=len(self._working) + len(self._ahead))
        self._give_back_ahead()
        for executor in list(self._working.values()):
            executor.call_off(CalledOff.FENCED)

    async def drain(self, grace_s: float) -> None:
        """Give running messages their grace, then take them back from their last step.

        A fenced worker gives none: it drops everything at once.

        Args:
            grace_s (float): How long they may go on.
        """
        self._give_back_ahead()
        try:
            await self._patience(grace_s)
        finally:
            await self._call_off(CalledOff.FENCED if self._place.last_call.fenced else CalledOff.STOPPING)

    def _begin(self, lease: Lease) -> None:
        agent = self._agents[lease.message.agent]
        self._slots.take(agent)
        self._open()
        self._working[lease.message.id, lease.token] = executor = Executor(
            lease, agent, self._place, on_free=lambda: self._free(agent), on_settled=lambda error: self._settled(lease, error)
        )
        executor.begin()

    def _free(self, agent: Agent) -> None:
        self._slots.free(agent)
        while self._ahead and not self._slots.full and not self._place.last_call.called:
            self._slots.queue(-1)
            self._begin(self._ahead.popleft())

    def _give_back_ahead(self) -> None:
        while self._ahead:
            lease = self._ahead.popleft()
            self._slots.queue(-1)
            self._open()
            move = Drop() if self._place.last_call.fenced else Release()
            self._place.settler.begin(lease, move, on_settled=self._close)

    async def _patience(self, grace_s: float) -> None:
        fenced = asyncio.ensure_future(self._place.last_call.wait_fenced())
        settled = asyncio.ensure_future(self._all_settled.wait())
        try:
            await asyncio.wait({fenced, settled}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            fenced.cancel()
            settled.cancel()

    async def _call_off(self, why: CalledOff) -> None:
        for executor in list(self._working.values()):
            executor.call_off(why)
        try:
            async with asyncio.timeout(SETTLE_LIMIT_S):
                await self._all_settled.wait()
        except TimeoutError:
            _log.warning("%d messages are left to whoever reaps this worker", self._unsettled)
        self._place.settler.close()

    def _settled(self, lease: Lease, error: BaseException | None) -> None:
        del self._working[lease.message.id, lease.token]
        self._slots.settled()
        self._close(error)

    def _open(self) -> None:
        self._unsettled += 1
        self._all_settled.clear()
        self._some_work.set()

    def _close(self, error: BaseException | None) -> None:
        self._unsettled -= 1
        if not self._unsettled:
            self._all_settled.set()
            self._some_work.clear()
        if error is not None and not isinstance(error, asyncio.CancelledError):
            handle(error, where="worker", what="a message could not be brought to its end; this worker recycles itself", broke=True)
            self._place.last_call.call(WorkerEnd.RECYCLE)  # its lease goes back with us
