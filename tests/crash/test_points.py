"""A worker dies at every call to its store there is, before it and right after it, and another goes on.

Whatever the point: nothing is lost, nothing ends twice, what is recorded is not made again, a call is paid for once, and once more
only where it was counted as ambiguous, and a tool that must not run twice does not. CRASH_POINTS=1000 tries every point there is.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from crash.history import illegal_paths, sessions_out_of_order, told_twice, whole_history
from perdure.agents.journal import Decision, StepKind
from perdure.app import open_store
from perdure.config.settings import Settings
from perdure.messages.groups import NewGroup
from perdure.messages.ids import write
from perdure.messages.message import ENDS, MessageId, NewMessage, State, View
from perdure.messages.store import Filter
from perdure.stores.store import Store
from perdure.testing.upstream import Upstream

HERE = Path(__file__).parent
MESSAGES = 3
SAMPLE = int(os.environ.get("CRASH_POINTS", "10"))
MOST_POINTS = 400


class Lives:
    """Lives of workers, one after the other, each in a process that may die at a point."""

    def __init__(self, folder: Path) -> None:
        self.log = (folder / "lives.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, HERE / "points.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log
        )

    async def one(self, **order: Any) -> dict[str, int]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        answer: dict[str, int] = json.loads(await asyncio.to_thread(self.process.stdout.readline))  # type: ignore[union-attr]
        return answer

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait(30)
        self.log.close()


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    lives = Lives(tmp_path)
    yield lives
    lives.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


class Scene:
    """One fresh store, some messages, and what is true of them afterwards."""

    def __init__(self, folder: Path, url: str | None, upstream: Upstream) -> None:
        self.folder, self.url, self.upstream = folder, url, upstream
        folder.mkdir(mode=0o700)
        self.line: dict[MessageId, str] = {}
        self.settings = Settings.model_validate({"data": folder, "store": {"url": url} if url else {}})

    @property
    def order(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "url": self.url, "upstream": self.upstream.base_url}

    async def put(self) -> list[MessageId]:
        """Orders, of which the first two stand in one line; a group and its join; one that has to be called off."""
        bodies = [json.dumps({"n": n, "folder": str(self.folder)}).encode() for n in range(MESSAGES)]
        orders = [NewMessage(agent="order", queue="orders", body=body, session="line" if n < 2 else None) for n, body in enumerate(bodies)]
        parts = [NewMessage(agent="part", queue="orders", body=body) for body in bodies[:2]]
        join = NewGroup(then=NewMessage(agent="join", queue="orders", body=b"null"))
        async with open_store(self.settings) as store:
            ids = [receipt.id for receipt in await store.messages.put(orders)]
            for one in ids:
                await store.messages.signal(one, "go", b'"go on"')
            await store.messages.put(parts, group=join)
            await store.messages.put([NewMessage(agent="endless", queue="orders", body=b'{"deep": true}')])
        self.line = dict.fromkeys(ids[:2], "line")
        return ids

    def charges(self) -> Counter[str]:
        file = self.folder / "charges"
        return Counter(file.read_text().split() if file.exists() else [])

    async def decide(self) -> bool:
        """Be the person who looks into the books of the tool; True if there was anything to decide."""
        decided = False
        async with open_store(self.settings) as store:
            for view in (await store.messages.list(Filter(state=State.WAITING))).views:
                if view.wait is None or view.wait.why != "outcome-unknown":
                    continue
                happened, said = self._looked_up(view)
                result = json.dumps(said).encode() if happened else None
                assert view.wait.step is not None
                decision = Decision.HAPPENED if happened else Decision.RUN_AGAIN
                await store.journal.decide(view.message.id, view.wait.step, decision, by="key_test", result=result)
                decided = True
        return decided

    def _looked_up(self, view: View) -> tuple[bool, str]:
        """What the books say about an order, or about a part of one."""
        if view.message.agent == "order":
            n = json.loads(view.message.body)["n"]
            return str(n) in self.charges(), f"charged {n}"
        run, marks = write(view.message.id), self.folder / "marks"
        return marks.exists() and run in marks.read_text().split(), f"marked {run}"

    async def check(self, ids: list[MessageId], requests: Counter[str]) -> None:
        async with open_store(self.settings) as store:
            for message in ids:
                await self._check(store, message, requests)
            views = (await store.messages.list(Filter(), limit=1000)).views
            self._check_the_others(views)
            told = await whole_history(store.messages)
            ends = Counter(change.id for change in told if change.state in ENDS)
            assert ends == dict.fromkeys([view.message.id for view in views], 1), "each ends once"
            endless = [view.message.id for view in views if view.message.agent == "endless"]
            assert illegal_paths(told, called_off=endless) == told_twice(told) == sessions_out_of_order(told, self.line) == []

    def _check_the_others(self, views: Sequence[View]) -> None:
        by_agent: dict[str, list[View]] = {}
        for view in views:
            by_agent.setdefault(view.message.agent, []).append(view)
        assert {agent: len(of_one) for agent, of_one in by_agent.items() if agent != "endless"} == {"order": 3, "part": 5, "join": 1}
        marks = (self.folder / "marks").read_text().split()
        assert sorted(marks) == sorted(json.loads(view.result or b"null").removeprefix("marked ") for view in by_agent["part"])
        assert json.loads(by_agent["join"][0].result or b"null") == {"total": 2, "done": 2, "seen": 2}
        assert 1 <= len(by_agent["endless"]) <= 2, "it sends one child at most, once"
        assert {view.state for view in by_agent["endless"]} == {State.CANCELLED}

    async def _check(self, store: Store, id: MessageId, requests: Counter[str]) -> None:
        view = await store.messages.get(id)
        n = json.loads(view.message.body)["n"]
        assert view.state is State.DONE, f"{view.state}: {view.error or view.wait}"
        result = json.loads(view.result or b"null")
        assert (result["n"], result["charged"], result["told"]) == (n, f"charged {n}", "go on")
        assert result["part"].startswith("marked msg_")
        assert self.charges()[str(n)] == 1, "a tool that is not idempotent ran once"
        for step in await store.journal.steps(id):
            if step.key.kind is StepKind.LLM:
                assert requests[f"{n}-{step.key.name}"] <= 1 + step.ambiguous, "paid for once, and once more where that is said"
        assert json.loads(await store.memory.read("default", "order", f"order-{n}") or b"null") == n


Fresh = Callable[[], Awaitable[Scene]]


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def fresh(engine: str, tmp_path: Path, upstream: Upstream, request: pytest.FixtureRequest) -> Fresh:
    made: list[str] = []
    shared = request.getfixturevalue("postgres") if engine == "postgres" else None

    async def make() -> Scene:
        name = f"scene-{len(made)}"
        url = None if shared is None else shared.url(shared.create())
        made.append(name)
        return Scene(tmp_path / name, url, upstream)

    return make


async def die_at(lives: Lives, scene: Scene, at: int, when: str) -> int:
    """Put messages, let a worker die at a point, let others go on, and check; returns how many calls the first one made."""
    before = Counter(seen.tag for seen in scene.upstream.requests)
    ids = await scene.put()
    first = await lives.one(**scene.order, at=at, when=when)
    while True:
        last = await lives.one(**scene.order, at=0, when="never")
        assert last["code"] == 0
        if not await scene.decide():
            break
    await scene.check(ids, Counter(str(seen.tag) for seen in scene.upstream.requests) - before)  # type: ignore[operator]
    return first["made"] if first["code"] == 0 else at


@pytest.mark.timeout(1200)
async def test_wherever_a_worker_dies_another_goes_on_and_nothing_is_lost_or_paid_twice(
    lives: Lives, fresh: Fresh, engine: str, tmp_path: Path
) -> None:
    scene = await fresh()
    await scene.put()
    points = (await lives.one(**scene.order, at=0, when="never"))["made"]
    assert 10 < points < MOST_POINTS
    every = [(at, when) for at in range(1, points + 1) for when in ("before", "after")]
    dice = random.Random(seed := int(os.environ.get("CRASH_SEED", "7")))
    for at, when in sorted(dice.sample(every, min(SAMPLE, len(every)))):
        try:
            await die_at(lives, await fresh(), at, when)
        except AssertionError as error:
            raise AssertionError(
                f"{engine}, dead {when} call {at} of {points} (seed {seed}): {error}\n{(tmp_path / 'lives.log').read_text()[-3000:]}"
            ) from error
