"""Workers, a store and a provider in one seeded loop: calls take their time, processes freeze and die, the store is busy now and then."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from crash.history import illegal_paths, told_twice, whole_history
from perdure import App, Run, agent, tool
from perdure.agents.journal import Decision, StepKind
from perdure.errors.base import StoreBusy, WorkerFenced
from perdure.messages.message import ENDS, MessageId, NewMessage, State
from perdure.messages.registry import BEAT_S, STALE_AFTER_S, Heart
from perdure.messages.retry import Backoff
from perdure.messages.store import Filter
from perdure.providers.models import Models
from perdure.testing import FakeProvider
from perdure.worker.worker import Worker
from simulation.loop import SeededLoop

__all__ = ["World"]

LIMIT_S = 3600.0
BUSY = 0.02
"""How often the store is too busy to answer."""


class Process:
    """What a worker's calls go through: it can freeze for a while, or be gone for good."""

    def __init__(self, loop: SeededLoop) -> None:
        self.loop = loop
        self.dead = False
        self.frozen_until = 0.0

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
        await process.out()
        if process.loop.dice.random() < BUSY and name not in ("register",):
            raise StoreBusy("the dice say so")
        answer = await found(*given, **named)
        if name != "changed":
            await process.out()
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
        self.processes: list[Process] = []
        self.lives: list[asyncio.Task[Any]] = []
        self.ids: list[MessageId] = []
        self.app = App([self._order()])

    def _order(self) -> Any:
        world = self

        @tool
        async def charge(n: int) -> str:
            """Charge a customer; not idempotent."""
            world.charged[n] += 1
            await asyncio.sleep(world.dice.uniform(0.0, 0.2))
            return f"charged {n}"

        @agent(queue="orders", version="1", name="order")
        async def order(run: Run) -> dict[str, Any]:
            n = run.body["n"]
            first = await run.ask("first", f"{n}-first")
            if run.attempt == 1 and n % 3 == 0:
                raise RuntimeError("it fails once")
            charged = await run.call(charge, n)
            if n % 4 == 0:
                await run.sleep(20)
            both = await run.map("more", lambda part: run.ask("part", f"{n}-part-{part}"), [1, 2])
            await run.memory.store(f"order-{n}", n)
            return {"n": n, "first": first, "charged": charged, "both": both}

        return order

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
        )
        self.processes.append(process)
        self.lives.append(asyncio.ensure_future(worker.run(asyncio.Event())))
        return process

    async def run(self, *, messages: int = 6, workers: int = 2, blows: int = 4) -> None:
        """Put messages, let workers be struck by blows, and see everything to its end."""
        bodies = [json.dumps({"n": n}).encode() for n in range(messages)]
        for _ in range(workers):
            self.start()
        put = await self.store.messages.put([NewMessage(agent="order", queue="orders", body=body) for body in bodies])
        self.ids = [receipt.id for receipt in put]
        tasks = [asyncio.ensure_future(self._blows(blows)), asyncio.ensure_future(self._person())]
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

    async def _ended(self) -> bool:
        return all([(await self.store.messages.get(one)).state in ENDS for one in self.ids])

    async def _blows(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(self.dice.uniform(0.0, 3.0))
            living = [process for process in self.processes if not process.dead]
            struck = self.dice.choice(living)
            if self.dice.random() < 0.6:
                struck.dead = True
                self.start()
            else:
                struck.frozen_until = self.loop.time() + self.dice.choice([0.5, 5.0, 15.0, 40.0])
        if all(process.dead or process.frozen_until > self.loop.time() for process in self.processes):
            self.start()
        while True:  # workers that were fenced or recycled are replaced, as a supervisor would
            await asyncio.sleep(2.0)
            if all(life.done() or process.dead for life, process in zip(self.lives, self.processes, strict=True)):
                self.start()

    async def _person(self) -> None:
        while True:
            await asyncio.sleep(5.0)
            for view in (await self.store.messages.list(Filter(state=State.WAITING))).views:
                if view.wait is None or view.wait.why != "outcome-unknown" or view.wait.step is None:
                    continue
                n = json.loads(view.message.body)["n"]
                happened = self.charged[n] > 0
                decision = Decision.HAPPENED if happened else Decision.RUN_AGAIN
                result = json.dumps(f"charged {n}").encode() if happened else None
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
            if json.loads(view.result or b"null")["charged"] != f"charged {n}":
                wrong.append(f"{n} has another result: {view.result!r}")
            if self.charged[n] != 1:
                wrong.append(f"{n} was charged {self.charged[n]} times")
            if view.attempt != (2 if n % 3 == 0 else 1):
                wrong.append(f"{n} used {view.attempt} attempts")
            for step in await self.store.journal.steps(message):
                if step.key.kind is StepKind.LLM:
                    prompt = json.loads(step.request or b"{}")["messages"][-1]["content"]
                    if self.billed[prompt] > 1 + step.ambiguous:
                        wrong.append(f"{prompt} was billed {self.billed[prompt]} times and called ambiguous {step.ambiguous} times")
        told = await whole_history(self.store.messages)
        return [*wrong, *illegal_paths(told), *told_twice(told)]
