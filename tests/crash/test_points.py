"""A worker, or whoever operates the store, dies at every point there is, before it and right after it, and another goes on.

A point is a call to the store, or a statement of one: between two of them, around COMMIT, between drawing a tag and putting.
Whatever the point: nothing is lost, nothing ends twice, what is recorded is not made again, a call is paid for once, and once more
only where it was counted as ambiguous, and a tool that must not run twice does not.

CRASH_POINTS=100 draws so many; the long form tries each before, after, and at its first, middle and last time.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from crash.books import Books, check_everything
from crash.operating import PUT
from crash.seeds import seed
from crash.watch import Watch
from perdure import put_within_sync
from perdure.agents.journal import Decision, StepKind
from perdure.app import open_store
from perdure.config.settings import Settings
from perdure.messages.groups import NewGroup
from perdure.messages.ids import write
from perdure.messages.message import MessageId, NewMessage, State, View
from perdure.messages.store import Filter
from perdure.stores.store import Store
from perdure.testing.given import BROKE, alive, asks, intent, take
from perdure.testing.upstream import Upstream

HERE = Path(__file__).parent
MESSAGES = 3
SAMPLE = int(os.environ.get("CRASH_POINTS", "5"))
"""Of a worker's points; of an operator's half as many."""
FEWEST_POINTS = 40
MISSES = 5
"""A life that never comes by its point tries nothing, and another is drawn; but not for ever."""


class Point(NamedTuple):
    """Where a life ends."""

    at: str
    nth: int
    when: str


class Lives:
    """Lives, one after the other, each in a process that may die at a point."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "lives.log"
        self._log = self._file.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, HERE / "points.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )

    async def one(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(await asyncio.to_thread(self.process.stdout.readline))  # type: ignore[union-attr]
        return answer

    async def whole(self, **order: Any) -> dict[str, int]:
        """A life that dies nowhere; tells how often it came by each point."""
        life = await self.one(**order)
        assert life["code"] == 0, self.said()
        made: dict[str, int] = life["made"]
        return made

    def said(self) -> str:
        return self._file.read_text(errors="replace")[-3000:]

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait(30)
        self._log.close()


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
        self.settings = Settings.model_validate({"data": folder, "store": {"url": url} if url else {}})
        self._before = Counter(seen.tag for seen in upstream.requests)
        self.watch = Watch(self.requests)
        self.ids: list[MessageId] = []

    @property
    def order(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "url": self.url, "upstream": self.upstream.base_url}

    def requests(self) -> Mapping[str, int]:
        return Counter(str(seen.tag) for seen in list(self.upstream.requests)) - self._before  # type: ignore[operator]

    async def look(self) -> None:
        async with open_store(self.settings) as store:
            await self.watch.look(store)

    async def goes_on(self, lives: Lives) -> None:
        """Let workers live until all has ended, and say what became of the calls that nobody knows of."""
        await self.look()
        while True:
            await lives.whole(**self.order)
            await self.look()
            if not await self.decide():
                return

    async def put(self) -> None:
        """Orders, of which the first two stand in one line; a group and its join; one that has to be called off."""
        bodies = [json.dumps({"n": n, "folder": str(self.folder)}).encode() for n in range(MESSAGES)]
        orders = [NewMessage(agent="order", queue="orders", body=body, session="line" if n < 2 else None) for n, body in enumerate(bodies)]
        parts = [NewMessage(agent="part", queue="orders", body=body) for body in bodies[:2]]
        join = NewGroup(then=NewMessage(agent="join", queue="orders", body=b"null"))
        async with open_store(self.settings) as store:
            self.ids = [receipt.id for receipt in await store.messages.put(orders)]
            for one in self.ids:
                await store.messages.signal(one, "go", b'"go on"')
            await store.messages.put(parts, group=join)
            await store.messages.put([NewMessage(agent="endless", queue="orders", body=b'{"deep": true}')])
        if self.url:  # what users put within their own transactions, which a worker moves
            with psycopg.connect(self.url) as theirs:
                put_within_sync(theirs, {"agent": "part", "queue": "orders", "body": {"folder": str(self.folder)}}, allow_unregistered=True)

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
        run = write(view.message.id)
        return run in self.marks(), f"marked {run}"

    async def check(self) -> None:
        charges, marks = self.charges(), Counter(self.marks())
        runs = {one: charges[str(n)] for n, one in enumerate(self.ids)}
        async with open_store(self.settings) as store:
            parts = (await store.messages.list(Filter(agent="part"), limit=1000)).views
            runs |= {view.message.id: marks[write(view.message.id)] for view in parts}
        books = await check_everything(self.settings, self.watch, put=self.ids, tool_runs=runs, leasers=2)
        self._check_the_others(list(books.views.values()))
        async with open_store(self.settings) as store:
            for one in self.ids:
                await self._check(store, books, one)

    def marks(self) -> list[str]:
        file = self.folder / "marks"
        return file.read_text().split() if file.exists() else []

    def _check_the_others(self, views: list[View]) -> None:
        by_agent: dict[str, list[View]] = {}
        for view in views:
            by_agent.setdefault(view.message.agent, []).append(view)
        assert {agent: len(of_one) for agent, of_one in by_agent.items() if agent != "endless"} == {
            "order": 3,
            "part": 6 if self.url else 5,
            "join": 1,
        }
        assert sorted(self.marks()) == sorted(json.loads(view.result or b"null").removeprefix("marked ") for view in by_agent["part"])
        assert json.loads(by_agent["join"][0].result or b"null") == {"total": 2, "done": 2, "seen": 2}
        assert 1 <= len(by_agent["endless"]) <= 2, "it sends one child at most, once"
        assert {view.state for view in by_agent["endless"]} == {State.CANCELLED}

    async def _check(self, store: Store, books: Books, id: MessageId) -> None:
        view = books.views[id]
        n = json.loads(view.message.body)["n"]
        assert view.state is State.DONE, f"{view.state}: {view.error or view.wait}"
        result = json.loads(view.result or b"null")
        assert (result["n"], result["charged"], result["told"]) == (n, f"charged {n}", "go on")
        assert result["part"].startswith("marked msg_")
        assert json.loads(await store.memory.read("default", "order", f"order-{n}") or b"null") == n


class Office(Scene):
    """A store that people and programs have something to do with."""

    given: dict[str, int]

    @property
    def errand(self) -> dict[str, Any]:
        return {**self.order, "given": self.given}

    async def put(self) -> None:
        """Three dead letters, one that asks, one that has ended, one that waits to be told, one that waits to be called off."""
        body = json.dumps({"folder": str(self.folder)}).encode()
        names = ("revive", "edit", "discard", "decide", "fork")
        async with open_store(self.settings) as store:
            await store.messages.put([NewMessage(agent="part", queue="orders", body=body, dedup_key=name) for name in names])
            worker = await alive(store, "part@1")
            leases = dict(zip(names, await take(store, worker, limit=len(names)), strict=True))
            for name in ("revive", "edit", "discard"):
                await store.messages.bury(leases[name], BROKE)
            await asks(store, leases["decide"])
            await store.journal.settle(leases["fork"], intent(1, kind=StepKind.VALUE), b"1")
            await store.messages.done(leases["fork"], b'"marked before"')
            await store.workers.bow_out(worker)
            waiting = [
                NewMessage(agent="endless", queue="orders", body=b'{"deep": false}', dedup_key=name) for name in ("signal", "cancel")
            ]
            told, called_off = [receipt.id for receipt in await store.messages.put(waiting)]
        self.given = {name: lease.message.id for name, lease in leases.items()} | {"signal": told, "cancel": called_off}
        self.ids = [MessageId(one) for name, one in self.given.items() if name != "discard"]

    async def check(self) -> None:
        gone = [MessageId(self.given["discard"])]
        books = await check_everything(self.settings, self.watch, put=self.ids, leasers=2, gone=gone)
        states = {name: books.views[MessageId(one)].state for name, one in self.given.items() if name != "discard"}
        assert states == {
            **dict.fromkeys(("revive", "edit", "fork", "signal"), State.DONE),
            "decide": State.DEAD,
            "cancel": State.CANCELLED,
        }
        parts = [view for view in books.views.values() if view.message.agent == "part"]
        keys = Counter(view.message.dedup_key for view in parts)
        assert [keys[f"put-{n}"] for n in range(PUT)] + [keys["member-0"], keys["member-1"]] == [1] * (PUT + 2), (
            "with a key it happens once"
        )
        assert [books.views[MessageId(self.given[name])].revived for name in ("revive", "edit")] == [1, 1]
        assert 1 <= sum(view.forked_from is not None for view in parts) <= 2
        assert 1 <= sum(view.imported for view in parts) <= 2
        ran = [write(view.message.id) for view in parts if view.state is State.DONE and view.message.dedup_key != "fork"]
        assert sorted(self.marks()) == sorted(ran), "each leaves its trace, once"


Fresh = Callable[[type[Scene]], Awaitable[Scene]]


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_url(engine: str, request: pytest.FixtureRequest) -> Iterator[Callable[[], str | None]]:
    """Makes databases, which are no more when the test is over."""
    if engine == "sqlite":
        yield lambda: None
        return
    shared, template = request.getfixturevalue("postgres"), request.getfixturevalue("_newest_schema")
    names: list[str] = []

    def make() -> str:
        names.append(shared.create(template=template))
        return str(shared.url(names[-1]))

    yield make
    for name in names:
        shared.drop(name)


@pytest.fixture
def fresh(tmp_path: Path, upstream: Upstream, new_url: Callable[[], str | None]) -> Fresh:
    numbers = itertools.count()

    async def make(kind: type[Scene]) -> Scene:
        scene = kind(tmp_path / f"scene-{next(numbers)}", new_url(), upstream)
        await scene.put()
        return scene

    return make


async def worker_dies(lives: Lives, scene: Scene, point: Point) -> bool:
    """Let a worker die at a point, let others go on, and check; False if it ended without coming by it."""
    first = await lives.one(**scene.order, **point._asdict())
    assert first["code"] in {0, -signal.SIGKILL}, lives.said()
    await scene.goes_on(lives)
    await scene.check()
    return bool(first["code"])


async def operator_dies(lives: Lives, scene: Scene, point: Point) -> bool:
    """Let whoever operates it die at a point and do all of it once more, let workers go on, and check."""
    assert isinstance(scene, Office)
    first = await lives.one(**scene.errand, **point._asdict())
    assert first["code"] in {0, -signal.SIGKILL}, lives.said()
    await scene.look()
    await lives.whole(**scene.errand)
    await scene.goes_on(lives)
    await scene.check()
    return bool(first["code"])


class Death(NamedTuple):
    """Who dies."""

    kind: type[Scene]
    dies: Callable[[Lives, Scene, Point], Awaitable[bool]]

    async def points(self, lives: Lives, scene: Scene) -> dict[str, int]:
        """How often each point is come by, in a life that dies nowhere."""
        return await lives.whole(**(scene.errand if isinstance(scene, Office) else scene.order))

    async def tried(self, lives: Lives, fresh: Fresh, point: Point, what: str) -> bool:
        try:
            return await self.dies(lives, await fresh(self.kind), point)
        except Exception as error:
            raise AssertionError(f"{what}, dead {point.when} the {point.nth}. {point.at!r}: {error}\n{lives.said()}") from error


WORKER, OPERATOR = Death(Scene, worker_dies), Death(Office, operator_dies)
BOTH = pytest.mark.parametrize("death", [WORKER, OPERATOR], ids=["worker", "operator"])


def drawn(made: dict[str, int], dice: random.Random) -> Point:
    """Each name is as likely as any other, however often it is come by."""
    at = dice.choice(sorted(made))
    return Point(at, dice.randint(1, made[at]), dice.choice(["before", "after"]))


@BOTH
@pytest.mark.timeout(1200)
async def test_wherever_somebody_dies_another_goes_on_and_nothing_is_lost_or_paid_twice(
    lives: Lives, fresh: Fresh, engine: str, death: Death
) -> None:
    made = await death.points(lives, await fresh(death.kind))
    assert len(made) > FEWEST_POINTS
    dice = random.Random(number := seed())
    left = SAMPLE if death is WORKER else (SAMPLE + 1) // 2
    misses = 0
    while left:
        died = await death.tried(lives, fresh, drawn(made, dice), f"{engine}, CRASH_SEED={number}")
        left, misses = (left - 1, misses) if died else (left, misses + 1)
        assert misses <= MISSES + SAMPLE, "they never come by their points: nothing is tried"


@BOTH
@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
async def test_every_point_there_is(lives: Lives, fresh: Fresh, engine: str, death: Death, capsys: pytest.CaptureFixture[str]) -> None:
    made = await death.points(lives, await fresh(death.kind))
    every = [Point(at, nth, when) for at, n in sorted(made.items()) for nth in sorted({1, (n + 1) // 2, n}) for when in ("before", "after")]
    deaths = [await death.tried(lives, fresh, point, engine) for point in every]
    with capsys.disabled():
        print(f"\n{engine}: {len(made)} points, tried at {len(every)} moments, {sum(deaths)} died there")
    assert sum(deaths) > len(every) // 2
