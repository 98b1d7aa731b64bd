"""Isolation: messages that took their process down twice run alone, in a process started for them.

They lie on quarantine routes, which ordinary workers pass over. When one lies there for an agent that
this worker knows, it starts a quarantine process - one slot, one message at a time - which ends when
nothing is left. If that process dies too, the message is a dead letter and nobody else was near.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping, Sequence

from perdure.clock import Clock
from perdure.events import tell
from perdure.messages.registry import WorkerRegistry
from perdure.messages.routes import Route, servable
from perdure.messages.store import MessageStore
from perdure.worker.child import KILL_AFTER_S, run_child
from perdure.worker.duties import rounds

__all__ = ["Isolation"]

LOOK_S = 1.0
_log = logging.getLogger("perdure.worker")
_LONGEST_PAUSE_S = 30.0  # between quarantine processes that fail


class Isolation:
    """Starts quarantine processes for one worker, one after the other.

    Args:
        messages (MessageStore): Whose quarantine routes are looked at.
        workers (WorkerRegistry): Who else runs a quarantine process.
        command (Sequence[str]): Starts one.
        agents (Mapping[str, str]): The worker's agents, name to code version.
        queues (Collection[str] | None): The queues it serves; None for all.
        clock (Clock): The store's time.
        grace_s (float): What a message running there gets at an orderly stop.
    """

    def __init__(
        self,
        messages: MessageStore,
        workers: WorkerRegistry,
        command: Sequence[str],
        *,
        agents: Mapping[str, str],
        queues: Collection[str] | None,
        clock: Clock,
        grace_s: float,
    ) -> None:
        self._messages = messages
        self._workers = workers
        self._command = command
        self._agents = agents
        self._queues = queues
        self._clock = clock
        self._grace_s = grace_s
        self._failed = 0
        self._stop = asyncio.Event()
        self._child: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a quarantine process runs, or has just failed."""
        return self._child is not None and not self._child.done()

    async def run(self) -> None:
        """Look for quarantined messages until cancelled; a quarantine process is then asked to end."""
        try:
            await rounds("isolating", self.look)
        finally:
            await self.close()

    async def look(self) -> float:
        """Start a quarantine process if one is needed and none runs.

        Returns:
            float: Seconds until the next look.
        """
        if not self.busy and not self._stop.is_set() and await self._needed():
            self._child = asyncio.create_task(self._isolate())
        return LOOK_S

    async def close(self) -> None:
        """Ask the quarantine process to end, and see it end. No other is started."""
        self._stop.set()
        if self._child is not None:
            await asyncio.wait({self._child}, timeout=self._grace_s + KILL_AFTER_S + 1.0)

    async def _needed(self) -> bool:
        occupied = [route for route in await self._messages.routes() if route.occupied]
        waiting = self._served(occupied, self._agents, self._queues)
        if not waiting:
            return False
        others = [status.card for status in await self._workers.workers() if status.alive and status.card.quarantine]
        for card in others:
            waiting -= self._served(occupied, {agent.name: agent.version for agent in card.agents}, card.queues)
        return bool(waiting)

    def _served(self, routes: Sequence[Route], agents: Mapping[str, str], queues: Collection[str] | None) -> set[int]:
        return {route.id for route in servable(routes, agents=agents, queues=queues, quarantine=True, now=self._clock.now())}

    async def _isolate(self) -> None:
        tell("worker.isolating", agents=sorted(self._agents))
        try:
            code = await run_child(self._command, self._stop, grace_s=self._grace_s)
        except OSError as error:
            _log.error("no quarantine process could be started with %r: %s", self._command[0], error)
            code = 1
        self._failed = 0 if code == 0 else self._failed + 1
        if self._failed:
            _log.warning("the quarantine process ended with %d", code)
            with contextlib.suppress(TimeoutError):  # it may have been the message, or the process itself cannot start
                await asyncio.wait_for(self._stop.wait(), min(0.25 * 2 ** min(self._failed, 10), _LONGEST_PAUSE_S))
