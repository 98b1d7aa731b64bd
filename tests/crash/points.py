"""A worker, or somebody who operates the store, that dies at a point: a call to the store or a statement of one, as a program.

    python points.py < orders        one JSON line for each life: {"folder": ..., "at": "journal.record", "nth": 7, "when": "after"}

Each line is answered by one line when that life is over: how its process ended, and how often it came by each point. The lives are
forked from one process that has everything loaded, so that a life costs what it does and not what starting Python does.

A point has a name, for a life never comes by the same ones in the same order twice: the call, or the statement by its first words.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

sys.path.insert(0, str(Path(__file__).parent))

from everything import app
from operating import operate

import perdure.stores.sqlite.engine
import perdure.stores.sqlite.heart
from perdure.app import open_store
from perdure.config.settings import Settings
from perdure.errors.base import Conflict
from perdure.messages.message import ENDS, State
from perdure.messages.retry import Backoff
from perdure.messages.store import Filter
from perdure.providers.generic import GenericProvider
from perdure.providers.models import Models
from perdure.stores.store import Store
from perdure.worker.worker import Worker

VIEWS = ("messages", "workers", "journal", "runs", "memory", "keys", "audit", "dead_letters", "schedules", "retention")
LOOKS = frozenset(
    {
        *("heard", "changed", "changes", "last_change", "routes", "get", "list", "queues", "paused", "pause_of_all", "counters", "limits"),
        *(
            "agent",
            "agents",
            "workers",
            "steps",
            "attempts",
            "group",
            "members",
            "read",
            "record_of",
            "look",
            "edits",
            "sizes",
            "called_off",
        ),
    }
)
"""Calls that leave nothing behind are no points to die at."""
LIMIT_S = 60.0
_READS = re.compile(r"^\s*(SELECT(?!.*\b(nextval|setval|FOR UPDATE|FOR SHARE|advisory)\b)|PRAGMA|SHOW)", re.IGNORECASE | re.DOTALL)
_SPACE = re.compile(r"\s+")


class Points:
    """Counts how often a life comes by each point, and kills this process at one of them."""

    def __init__(self, at: str | None, nth: int, when: str) -> None:
        self.at, self.nth, self.when = at, nth, when
        self.made: Counter[str] = Counter()

    def reach(self, name: str) -> bool:
        """Come by a point; True if this is where it dies once that is done."""
        self.made[name] += 1
        mine = name == self.at and self.made[name] == self.nth
        if mine and self.when == "before":
            die()
        return mine

    async def call(self, name: str, make: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Any:
        mine = self.reach(name)
        try:
            return await make(*given, **named)
        finally:
            if mine:
                die()

    def call_now(self, name: str, make: Callable[..., Any], *given: Any, **named: Any) -> Any:
        mine = self.reach(name)
        try:
            return make(*given, **named)
        finally:
            if mine:
                die()


class Mortal:
    """A view of a store whose calls are points."""

    def __init__(self, name: str, view: Any, points: Points) -> None:
        self._name, self._view, self._points = name, view, points

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._view, name)
        if name == "heart":
            return lambda *given: MortalHeart(found(*given), self._points)
        if name in LOOKS or not asyncio.iscoroutinefunction(found):
            return found
        return lambda *given, **named: self._points.call(f"{self._name}.{name}", found, *given, **named)


class MortalHeart:
    """A heart whose beats are points."""

    def __init__(self, heart: Any, points: Points) -> None:
        self._heart, self._points = heart, points

    def beat(self) -> None:
        self._points.call_now("heart.beat", self._heart.beat)

    def close(self) -> None:
        self._heart.close()


class MortalStore:
    """A store whose calls are points."""

    def __init__(self, store: Store, points: Points) -> None:
        for name in VIEWS:
            setattr(self, name, Mortal(name, getattr(store, name), points))
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class MortalConnection:
    """A connection to SQLite whose statements are points: between two of one call, and around each COMMIT."""

    def __init__(self, connection: Any, points: Points) -> None:
        self._connection, self._points = connection, points

    def execute(self, text: str, *given: Any) -> Any:
        return self._make(self._connection.execute, text, *given)

    def executemany(self, text: str, *given: Any) -> Any:
        return self._make(self._connection.executemany, text, *given)

    def _make(self, make: Callable[..., Any], text: str, *given: Any) -> Any:
        name = statement_name(text)
        return make(text, *given) if name is None else self._points.call_now(name, make, text, *given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def statement_name(text: str) -> str | None:
    """By what a statement is known as a point; None if it only reads."""
    if _READS.match(text):
        return None
    named = getattr(text, "name", None)
    return f"sql {named}" if named else f"sql {_SPACE.sub(' ', text).strip()[:80]}"


def make_statements_mortal(points: Points) -> None:
    """Let every statement that this process writes with be a point, on whichever engine."""
    for module in (perdure.stores.sqlite.engine, perdure.stores.sqlite.heart):
        opened = module.open_writer
        module.open_writer = lambda *given, opened=opened: MortalConnection(opened(*given), points)  # type: ignore[attr-defined]
    for name in ("execute", "executemany", "fetch", "fetchrow", "fetchval"):
        setattr(asyncpg.Connection, name, _mortal(getattr(asyncpg.Connection, name), points))


def _mortal(make: Any, points: Points) -> Any:
    async def made(connection: Any, text: str, *given: Any, **named: Any) -> Any:
        name = statement_name(text)
        if name is None or "READ ONLY" in text:
            return await make(connection, text, *given, **named)
        return await points.call(name, make, connection, text, *given, **named)

    return made


def die() -> None:
    """As the kernel would have it: nothing is closed, flushed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


def settings_of(order: dict[str, Any]) -> Settings:
    return Settings.model_validate({"data": order["folder"], "store": {"url": order["url"]} if order["url"] else {}})


async def operate_it(order: dict[str, Any], points: Points) -> None:
    """Do what people and programs do to a store through a server."""
    async with open_store(settings_of(order)) as store:
        await operate(MortalStore(store, points), order["folder"], order["given"])  # type: ignore[arg-type]


async def live(order: dict[str, Any], points: Points) -> None:
    """Work until everything has ended or waits for a person."""
    settings = settings_of(order)
    provider = GenericProvider("up", base_url=order["upstream"])
    async with open_store(settings) as store:
        worker = Worker(
            MortalStore(store, points),  # type: ignore[arg-type]
            app,
            Models({"up": provider}, default="up/fake-1"),
            slots=8,
            park_after_s=0.05,
            backoff=Backoff(base_s=0.05, cap_s=0.05),
        )
        stop = asyncio.Event()
        life = asyncio.create_task(worker.run(stop))
        caller = asyncio.create_task(call_off(store))
        try:
            async with asyncio.timeout(LIMIT_S):
                while not life.done() and not await over(store):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            for view in (await store.messages.list(Filter(), limit=1000)).views:
                print("left", view.message.agent, view.state.value, view.wait, view.cancelling, view.error, file=sys.stderr)
            raise
        finally:
            stop.set()
            caller.cancel()
            await asyncio.wait([caller])
            await life
            await provider.aclose()


async def call_off(store: Store) -> None:
    """Be the person who calls the endless ones off once they have begun, with whatever they have sent."""
    while True:
        for state in (State.LEASED, State.WAITING):
            for view in (await store.messages.list(Filter(agent="endless", state=state), limit=1000)).views:
                if json.loads(view.message.body)["deep"] and not view.cancelling:
                    with suppress(Conflict):  # it has just ended
                        await store.messages.cancel(view.message.id)
        await asyncio.sleep(0.03)


async def over(store: Store) -> bool:
    """Whether nothing can go on by itself."""
    counts = [queue.counts for queue in await store.messages.queues()]
    total = sum(count for one in counts for count in one.values())
    quiet = sum(one.get(state.value, 0) for one in counts for state in (*ENDS, State.WAITING, State.HELD))
    return total > 0 and quiet == total and not await awaited(store)


async def awaited(store: Store) -> bool:
    """Whether those that wait will go on without a person's word on what became of a call."""
    waiting = (await store.messages.list(Filter(state=State.WAITING), limit=1000)).views
    return bool(waiting) and not any(view.wait is not None and view.wait.why == "outcome-unknown" for view in waiting)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            points = Points(order.get("at"), order.get("nth", 1), order.get("when", "never"))
            code = 1
            try:
                make_statements_mortal(points)
                asyncio.run((operate_it if order.get("given") else live)(order, points))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                with open(writer, "wb") as told:
                    told.write(json.dumps(points.made).encode())
                sys.stderr.flush()
                os._exit(code)
        os.close(writer)
        with open(reader, "rb") as told:
            made = told.read()
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "made": json.loads(made or b"{}")}), flush=True)


if __name__ == "__main__":
    main()
