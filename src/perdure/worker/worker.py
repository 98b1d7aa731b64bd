"""A worker: takes messages, has their agents work on them, and ends in good order.

Theory of operation: `run` is the life of a worker. While it lives, one loop takes messages (`leases`),
one task per message works it (`crew`, `executor`), a thread beats (`heartbeat`) and two rounds look after what
belongs to all (`duties`). Anything that means the end - a signal, a hung thread, having been declared
dead - is said in one place, the last call; everybody watches that and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from perdure.agents.agent import Agent
from perdure.agents.parts import ModelTable, Pricing, RunParts
from perdure.agents.registry import App
from perdure.clock import Clock, SystemClock
from perdure.errors.base import ConfigError, StoreError, UnknownModel, WorkerFenced
from perdure.errors.handler import handle
from perdure.events import tell
from perdure.messages.message import WorkerId
from perdure.messages.registry import DEAD_AFTER_S, WorkerCard
from perdure.messages.retention import Keep
from perdure.messages.retry import Backoff
from perdure.providers.lane_limits import LaneTable
from perdure.worker.calendar import Firing
from perdure.worker.crew import Crew
from perdure.worker.duties import Duties, rounds
from perdure.worker.end import LastCall, WorkerEnd
from perdure.worker.endpoint import Endpoint
from perdure.worker.executor import Workplace
from perdure.worker.heartbeat import Heartbeat
from perdure.worker.isolation import Isolation
from perdure.worker.lanes import Circuit, Lanes
from perdure.worker.leases import Leases
from perdure.worker.settle import Settler
from perdure.worker.slots import Slots
from perdure.worker.store import WorkerStore
from perdure.worker.threads import Threads
from perdure.worker.tidying import Tidying
from perdure.worker.watch import Watch

__all__ = ["Worker"]

HUNG_LOOK_S = 1.0
_log = logging.getLogger("perdure.worker")


class Worker:
    """Works messages in this process.

    Args:
        store (WorkerStore): Where everything is kept.
        app (App): The agents it knows.
        models (ModelTable): Who answers their prompts.
        slots (int): Messages at once.
        threads (int): Messages of sync agents at once.
        grace_s (float): What running messages get at an orderly stop.
        park_after_s (float): Longer waits give the slot back.
        dead_after_s (float): Silence after which it calls another worker dead.
        queues (Collection[str] | None): The queues it serves; None for all.
        quarantine (bool): Work quarantined messages only, one at a time, and end when none is left.
        isolate (Sequence[str] | None): The command that starts a quarantine process; None starts none.
        backoff (Backoff | None): How far attempts lie apart; None for the defaults.
        keep (Keep | None): How long what has ended is kept; None for the defaults.
        circuit (Circuit | None): When a provider's lane counts as down; None for the defaults.
        prices (Pricing | None): Knows what calls cost; None leaves that unsaid.
        lanes (LaneTable | None): The limits of providers' lanes; None for none.
        watch (Watch | None): Looks at providers now and then; None for nobody.
        clock (Clock | None): The store's time; None for the machine's.
    """

    def __init__(
        self,
        store: WorkerStore,
        app: App,
        models: ModelTable,
        *,
        slots: int = 20,
        threads: int = 8,
        grace_s: float = 10.0,
        park_after_s: float = 5.0,
        dead_after_s: float = DEAD_AFTER_S,
        queues: Collection[str] | None = None,
        quarantine: bool = False,
        isolate: Sequence[str] | None = None,
        backoff: Backoff | None = None,
        keep: Keep | None = None,
        circuit: Circuit | None = None,
        prices: Pricing | None = None,
        lanes: LaneTable | None = None,
        watch: Watch | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._app = app
        self._models = models
        self._prices = prices
        self._slot_count = 1 if quarantine else slots
        self._slots = Slots(app.served, limit=self._slot_count, threads=threads)
        self._threads = Threads(threads + self._slot_count)  # sync tools of async agents need room beside sync agents
        self._grace_s = grace_s
        self._park_after_s = park_after_s
        self._queues = queues
        self._quarantine = quarantine
        self._isolate = isolate
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff()
        self._duties = Duties(store.messages, store.workers, self._clock, dead_after_s=dead_after_s)
        self._firing = Firing(store.schedules, self._clock)
        self._tidying = Tidying(store.retention, keep or Keep(), store.files)
        self._lanes = Lanes(store.messages, self._clock, circuit=circuit, table=lanes, patience_s=park_after_s, several=models.several())
        self._watch = watch
        self._last_call = LastCall()
        self._endpoint = Endpoint()
        self.ready: asyncio.Event = asyncio.Event()
        """Set once it is registered and takes messages."""

    @property
    def card(self) -> WorkerCard:
        """What it says of itself.

        Raises:
            ConfigError: An agent names a model that nobody has.
        """
        return WorkerCard(
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=self._slot_count,
            agents=[msgspec.structs.replace(agent.card(self._lane_of(agent)), name=name) for name, agent in self._app.served.items()],
            queues=None if self._queues is None else sorted(self._queues),
            quarantine=self._quarantine,
        )

    async def run(self, stop: asyncio.Event) -> WorkerEnd:
        """Live: take messages until asked to stop, and end in good order.

        Args:
            stop (asyncio.Event): When to take no more.

        Returns:
            WorkerEnd: Why it ended.

        Raises:
            ConfigError: An agent names a model that nobody has.
            StoreError: It could not register.
        """
        async with self._registered() as worker, self._beating(worker) as crew, self._background(stop, worker, crew):
            await self._begin(worker)
            grace_s = self._grace_s
            try:
                await self._leases(worker, crew).run()
            except asyncio.CancelledError:
                grace_s = 0.0  # asked twice
                raise
            finally:
                await crew.drain(grace_s)
        return self._end(worker)

    # Its life, in order of telling ------------------------------------------------------------------

    @asynccontextmanager
    async def _registered(self) -> AsyncIterator[WorkerId]:
        worker = await self._store.workers.register(self.card)
        self._lanes.share(self._store.lanes, worker)
        try:
            yield worker
        finally:
            await self._endpoint.close_all()
            await self._settle_lanes()
            await self._bow_out(worker)

    @asynccontextmanager
    async def _beating(self, worker: WorkerId) -> AsyncIterator[Crew]:
        loop = asyncio.get_running_loop()

        def fenced() -> None:
            with suppress(RuntimeError):  # the loop has ended before us
                loop.call_soon_threadsafe(self._last_call.call, WorkerEnd.FENCED)

        heartbeat = Heartbeat(self._store.workers.heart(worker), on_fenced=fenced)
        heartbeat.start()
        try:
            yield self._crew(heartbeat)
        finally:
            await asyncio.to_thread(heartbeat.stop)

    @asynccontextmanager
    async def _background(self, stop: asyncio.Event, worker: WorkerId, crew: Crew) -> AsyncIterator[None]:
        duties = [self._stopped_by(stop), crew.drop_when_fenced(), rounds("watching threads", self._watch_threads)]
        duties.append(crew.end_what_was_called_off(self._store.messages, worker))
        if not self._quarantine:
            duties += [self._duties.run(), rounds("firing schedules", self._firing.once), rounds("tidying", self._tidying.once)]
            duties += [] if self._watch is None else [rounds("looking at providers", self._watch.once)]
        if self._isolate is not None and not self._quarantine:
            isolation = self._isolation(self._isolate)
            duties += [isolation.run(), self._closed_at_the_end(isolation)]
        tasks = [asyncio.create_task(duty) for duty in duties]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self, worker: WorkerId) -> None:
        if not self._quarantine:
            with suppress(StoreError):  # the rounds come to it
                await self._duties.reap()  # what the worker before us held runs again at once
        _log.info("worker %d takes messages for %s", worker, ", ".join(sorted(self._app.agents)))
        tell("worker.started", worker=int(worker), slots=self._slot_count, quarantine=self._quarantine)
        self.ready.set()

    async def _settle_lanes(self) -> None:
        if not self._last_call.fenced:
            with suppress(StoreError, WorkerFenced):
                await self._lanes.close_all()

    async def _bow_out(self, worker: WorkerId) -> None:
        self._threads.shutdown(cancel_futures=True)
        if self._last_call.fenced:
            return
        try:
            await self._store.workers.bow_out(worker)
        except (StoreError, WorkerFenced) as error:
            handle(error, where="worker", what=f"worker {worker} could not bow out and will be reaped")

    def _end(self, worker: WorkerId) -> WorkerEnd:
        end = self._last_call.end or WorkerEnd.STOPPED
        tell("worker.recycled" if end is WorkerEnd.RECYCLE else "worker.stopped", worker=int(worker), end=end.value)
        _log.info("worker %d ended: %s", worker, end.value)
        return end

    # In the background ------------------------------------------------------------------------------

    async def _stopped_by(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._last_call.call(WorkerEnd.STOPPED)

    async def _closed_at_the_end(self, isolation: Isolation) -> None:
        await self._last_call.wait()  # not after our own messages had their grace: both have it at once
        await isolation.close()

    async def _watch_threads(self) -> float:
        if self._threads.hung():
            _log.warning("a thread goes on although its call was given up; this worker recycles itself")
            self._last_call.call(WorkerEnd.RECYCLE)
        return HUNG_LOOK_S

    # What it is made of -----------------------------------------------------------------------------

    def _lane_of(self, agent: Agent) -> str | None:
        if agent.model is None:
            return None
        try:
            return self._models.deployments(agent.model).lane
        except UnknownModel as error:
            raise ConfigError(f"agent {agent.name!r}: {error.message}", hint=error.hint) from error

    def _crew(self, heartbeat: Heartbeat) -> Crew:
        parts = RunParts(
            journal=self._store.journal,
            memory=self._store.memory,
            models=self._models,
            clock=self._clock,
            threads=self._threads,
            tool_threads=self._threads,
            park_after_s=self._park_after_s,
            effects_allowed=heartbeat.effects_allowed,
            endpoint=self._endpoint,
            lanes=self._lanes,
            prices=self._prices,
            registry=self._store.workers,
            messages=self._store.messages,
        )
        settler = Settler(self._store.messages, self._last_call)
        place = Workplace(parts=parts, settler=settler, last_call=self._last_call, clock=self._clock, backoff=self._backoff)
        return Crew(self._app.served, self._slots, place)

    def _leases(self, worker: WorkerId, crew: Crew) -> Leases:
        return Leases(
            self._store.messages,
            worker,
            slots=self._slots,
            lanes=self._lanes,
            last_call=self._last_call,
            begin=crew.take,
            clock=self._clock,
            queues=self._queues,
            quarantine=self._quarantine,
        )

    def _isolation(self, command: Sequence[str]) -> Isolation:
        return Isolation(
            self._store.messages,
            self._store.workers,
            command,
            agents={name: agent.version for name, agent in self._app.served.items()},
            queues=self._queues,
            clock=self._clock,
            grace_s=self._grace_s,
        )
