"""Workers, a store and a provider in one seeded loop: calls take their time, processes freeze and die, the store is busy now and then."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from crash.history import illegal_paths, sessions_out_of_order, starved, told_twice, whole_history
from perdure import App
from perdure.agents.journal import Decision, StepKind
from perdure.errors.base import Conflict, StoreBusy, StoreError, StoreFull, WorkerFenced
from perdure.messages.message import ENDS, MessageId, NewMessage, State
from perdure.messages.registry import BEAT_S, STALE_AFTER_S, Heart
from perdure.messages.retention import Keep
from perdure.messages.retry import Backoff
from perdure.messages.store import Filter
from perdure.providers.models import Models
from perdure.testing import FakeProvider
from perdure.worker.worker import Worker
from simulation.doings import agents
from simulation.loop import SeededLoop

__all__ = ["World"]

LIMIT_S = 6 * 3600.0
BUSY = 0.02
"""How often the store is too busy to answer."""
LOST = 0.02
"""How often it has done what it was told, and the answer is lost."""
_MAY_BE_LOST = frozenset({"done", "done_many", "retry", "bury", "park", "release", "tend", "reap", "routes", "called_off"})
"""Calls that whoever makes them makes again. Of the others an engine finds out what became of them before it says anything."""
_READS = frozenset({"heard", "changed", "last_change", "routes", "get", "agent", "steps", "read", "called_off", "register"})
"""What a full disk does not hinder; who cannot even register is started again, which is not shown here."""
MESSAGES = 6
JUMPS_S = [-3600.0] + [-60.0] * 20 + [60.0] * 10 + [3600.0] * 10
"""How far the clock is set. An hour back is rare, since whatever was due must be waited for once more."""


class Process:
    """What a worker's calls go through: it can freeze for a while, or be gone for good."""

    def __init__(self, loop: SeededLoop) -> None:
        self.loop = loop
        self.dead = False
        self.frozen_until = 0.0
        self.stood_still_s = 0.0
        self.fenced = False

    def freeze(self, seconds: float) -> None:
        """Let nothing leave it, nor come in, for so long."""
        self.frozen_until = self.loop.time() + seconds
        self.stood_still_s = max(self.stood_still_s, seconds)

    async def out(self) -> None:
        """A call leaves the process, or an answer comes in."""
        if self.loop.ending:
            raise asyncio.CancelledError
        await asyncio.sleep(self.loop.dice.expovariate(1 / 0.004))
        while not self.dead and self.loop.time() < self.frozen_until:
            await asyncio.sleep(self.frozen_until - self.loop.time())
        if self.dead:
            await self.loop.create_future()  # whoever waits in a dead process waits for ever


class Far:
    """A view of the store, as seen from a process."""

    def __init__(self, view: Any, process: Process) -> None:
        self._view, self._process = view, process

    def heart(self, worker: Any) -> Any:
        return self._view.heart(worker), self._process

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._view, name)
        if not asyncio.iscoroutinefunction(found):
            return found
        return lambda *given, **named: self._call(name, found, given, named)

    async def _call(self, name: str, found: Callable[..., Awaitable[Any]], given: Any, named: Any) -> Any:
        process = self._process
        if name != "reap":  # who judges takes the time when he looks whether he may, and not later
            await process.out()
        if process.loop.dice.random() < BUSY and name not in ("register",):
            raise StoreBusy("the dice say so")
        if process.loop.is_full() and name not in _READS:
            raise StoreFull("the dice have filled the disk")
        answer = await found(*given, **named)
        if name != "changed":
            await process.out()
        if name in _MAY_BE_LOST and process.loop.dice.random() < LOST:
            raise StoreError("the dice have lost the answer")
        return answer


class FarStore:
    """What a worker needs of a store, seen from its process."""

    def __init__(self, store: Any, process: Process) -> None:
        self._store = store
        for name in ("messages", "workers", "journal", "memory"):
            setattr(self, name, Far(getattr(store, name), process))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class FarProvider(FakeProvider):
    """Answers after a while; a question that has arrived is billed, whoever is there to hear the answer."""

    def __init__(self, process: Process, billed: Counter[str]) -> None:
        super().__init__("up")
        self._process, self._billed = process, billed

    async def chat(self, body: Any, *, timeout_s: float | None = None) -> Any:
        await self._process.out()
        self._billed[body["messages"][-1]["content"]] += 1
        await asyncio.sleep(self._process.loop.dice.uniform(0.01, 0.5))
        answer = await super().chat(body, timeout_s=timeout_s)
        await self._process.out()
        return answer


class Pulse:
    """The heartbeat as a task, since there are no threads here."""

    def __init__(self, heart: tuple[Heart, Process], *, on_fenced: Callable[[], None]) -> None:
        (self._heart, self.process), self._on_fenced = heart, on_fenced
        self._beat_at = self.process.loop.time()
        self.fenced = False
        self._task: asyncio.Task[None] | None = None

    def effects_allowed(self) -> bool:
        return not self.fenced and self.process.loop.time() - self._beat_at < STALE_AFTER_S

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await self.process.out()
            try:
                self._heart.beat()
            except WorkerFenced:
                self.fenced = True
                self.process.fenced = True
                self._on_fenced()
                return
            self._beat_at = self.process.loop.time()
            await asyncio.sleep(BEAT_S)


class World:
    """One run of the simulation."""

    def __init__(self, loop: SeededLoop, store: Any) -> None:
        self.loop, self.store = loop, store
        self.dice = loop.dice
        self.billed: Counter[str] = Counter()
        self.charged: Counter[int] = Counter()
        self.marked: Counter[int] = Counter()
        self.processes: list[Process] = []
        self.lives: list[asyncio.Task[Any]] = []
        self.ids: list[MessageId] = []
        self.sessions: dict[MessageId, str] = {}
        self.endless: MessageId | None = None
        self.app = App(agents(self))

    def start(self) -> Process:
        """Start a worker in a process of its own."""
        process = Process(self.loop)
        worker = Worker(
            FarStore(self.store, process),  # type: ignore[arg-type]
            self.app,
            Models({"up": FarProvider(process, self.billed)}, default="up/fake-1"),
            slots=4,
            clock=self.loop,
            backoff=Backoff(base_s=1.0, cap_s=4.0),
            keep=Keep(changes_s=None),  # they are the history that is checked in the end, and simulated time passes quickly
        )
        self.processes.append(process)
        self.lives.append(asyncio.ensure_future(worker.run(asyncio.Event())))
        return process

    async def run(self, *, messages: int = MESSAGES, workers: int = 2, blows: int = 4) -> None:
        """Put messages, let workers be struck by blows, and see everything to its end."""
        for _ in range(workers):
            self.start()
        await self._put(messages)
        tasks = [asyncio.ensure_future(one) for one in (self._blows(blows), self._person(), self._caller())]
        try:
            async with asyncio.timeout(LIMIT_S):
                while not await self._ended():
                    await asyncio.sleep(1.0)
        finally:
            for task in (*tasks, *self.lives):
                task.cancel()
            for process in self.processes:
                process.dead = True
            await asyncio.wait(tasks)

    async def _put(self, messages: int) -> None:
        """Orders, some of them in a line, of any urgency; and one that never ends by itself."""
        line = self.dice.choice([0, 0, 2, 4])
        new = [
            NewMessage(
                agent="order",
                queue="orders",
                body=json.dumps({"n": n}).encode(),
                priority=self.dice.choice([0, 5, 5, 9]),
                session="line" if n < line else None,
            )
            for n in range(messages)
        ]
        self.ids = [receipt.id for receipt in await self.store.messages.put(new)]
        self.sessions = dict.fromkeys(self.ids[:line], "line")
        if self.dice.random() < 0.5:
            [receipt] = await self.store.messages.put([NewMessage(agent="endless", queue="orders", body=b'{"deep": true}')])
            self.endless = receipt.id

    async def _ended(self) -> bool:
        views = (await self.store.messages.list(Filter(), limit=1000)).views
        return all(view.state in ENDS for view in views)

    async def _blows(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(self.dice.uniform(0.0, 3.0))
            living = [process for process in self.processes if not process.dead]
            struck = self.dice.choice(living)
            match self.dice.random():
                case chance if chance < 0.5:
                    struck.dead = True
                    self.start()
                case chance if chance < 0.6:
                    self.loop.full_until = self.loop.time() + self.dice.choice([0.5, 3.0, 12.0])
                case chance if chance < 0.8:
                    struck.freeze(self.dice.choice([0.5, 5.0, 15.0, 40.0]))
                case _:
                    self.loop.set_ahead_s += self.dice.choice(JUMPS_S)
        if all(process.dead or process.frozen_until > self.loop.time() for process in self.processes):
            self.start()
        while True:  # workers that were fenced or recycled are replaced, as a supervisor would
            await asyncio.sleep(2.0)
            if all(life.done() or process.dead for life, process in zip(self.lives, self.processes, strict=True)):
                self.start()

    async def _caller(self) -> None:
        """Tell orders what they wait for, more than once, and call off the one that never ends."""
        for n, message in enumerate(self.ids):
            if n % 5 == 2:
                for _ in range(self.dice.choice([1, 2])):
                    await asyncio.sleep(self.dice.uniform(0.0, 8.0))
                    with suppress(Conflict):  # it has ended: it had heard the first one
                        await self.store.messages.signal(message, "go", b'"go on"', key="once")
        if self.endless is not None:
            await asyncio.sleep(self.dice.uniform(0.0, 8.0))
            await self.store.messages.cancel(self.endless)

    async def _person(self) -> None:
        while True:
            await asyncio.sleep(5.0)
            for view in (await self.store.messages.list(Filter(state=State.WAITING))).views:
                if view.wait is None or view.wait.why != "outcome-unknown" or view.wait.step is None:
                    continue
                n = json.loads(view.message.body)["n"]
                books = self.charged if view.message.agent == "order" else self.marked
                happened = books[n] > 0
                decision = Decision.HAPPENED if happened else Decision.RUN_AGAIN
                said = f"charged {n}" if view.message.agent == "order" else f"marked {n}"
                result = json.dumps(said).encode() if happened else None
                await self.store.journal.decide(view.message.id, view.wait.step, decision, by="key_test", result=result)

    async def wrongs(self) -> list[str]:
        """Everything that may not be."""
        wrong: list[str] = []
        for message in self.ids:
            view = await self.store.messages.get(message)
            n = json.loads(view.message.body)["n"]
            if view.state is not State.DONE:
                wrong.append(f"{n} is {view.state}: {view.error}")
                continue
            result = json.loads(view.result or b"null")
            told, part = ("go on" if n % 5 == 2 else None), (f"marked {n}" if n % 5 == 1 else None)
            if (result["charged"], result["told"], result["part"]) != (f"charged {n}", told, part):
                wrong.append(f"{n} has another result: {view.result!r}")
            if part and self.marked[n] != 1:
                wrong.append(f"{n} was marked {self.marked[n]} times")
            if self.charged[n] != 1:
                wrong.append(f"{n} was charged {self.charged[n]} times")
            if view.attempt != (2 if n % 3 == 0 else 1):
                wrong.append(f"{n} used {view.attempt} attempts")
            for step in await self.store.journal.steps(message):
                if step.key.kind is StepKind.LLM:
                    prompt = json.loads(step.request or b"{}")["messages"][-1]["content"]
                    if self.billed[prompt] > 1 + step.ambiguous:
                        wrong.append(f"{prompt} was billed {self.billed[prompt]} times and called ambiguous {step.ambiguous} times")
        views = (await self.store.messages.list(Filter(), limit=1000)).views
        endless = [view for view in views if view.message.agent == "endless"]
        wrong += [f"{view.message.id}, called off, is {view.state}" for view in endless if view.state is not State.CANCELLED]
        wrong += [
            f"living worker {n} was declared dead" for n, one in enumerate(self.processes) if one.fenced and one.stood_still_s < BEAT_S
        ]
        history = await whole_history(self.store.messages)
        ends = Counter(change.id for change in history if change.state in ENDS)
        wrong += [f"{message} ended {times} times" for message, times in ends.items() if times != 1]
        wrong += illegal_paths(history, called_off=[view.message.id for view in endless])
        return [
            *wrong,
            *told_twice(history),
            *sessions_out_of_order(history, self.sessions),
            *starved(history, workers=len(self.processes)),
        ]
