"""A worker that dies at the n-th call to its store, as a program.

    python points.py < orders        one JSON line for each life: {"folder": ..., "url": ..., "at": 7, "when": "after"}

Each line is answered by one line when that life is over: how its process ended, and how many calls it made. The lives are
forked from one process that has everything loaded, so that a life costs what it does and not what starting Python does.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from everything import app

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

LOOKS = frozenset(
    {"heard", "changed", "last_change", "routes", "get", "list", "queues", "paused", "counters", "agent", "agents", "workers"}
)
"""Calls that leave nothing behind are no points to die at."""
LIMIT_S = 60.0


class Points:
    """Counts the calls to a store, and kills this process at one of them."""

    def __init__(self, at: int, when: str) -> None:
        self.at, self.when, self.made = at, when, 0

    async def call(self, name: str, make: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Any:
        self.made += 1
        mine = self.made == self.at
        if mine and self.when == "before":
            die()
        try:
            return await make(*given, **named)
        finally:
            if mine:
                die()


class Mortal:
    """A view of a store whose calls are counted."""

    def __init__(self, view: Any, points: Points) -> None:
        self._view, self._points = view, points

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._view, name)
        if name in LOOKS or not asyncio.iscoroutinefunction(found):
            return found
        return lambda *given, **named: self._points.call(name, found, *given, **named)


class MortalStore:
    """What a worker needs of a store, counted."""

    def __init__(self, store: Store, points: Points) -> None:
        for name in ("messages", "workers", "journal", "memory"):
            setattr(self, name, Mortal(getattr(store, name), points))

        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def die() -> None:
    """As the kernel would have it: nothing is closed, flushed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


async def live(order: dict[str, Any], points: Points) -> None:
    """Work until everything has ended or waits for a person."""
    settings = Settings.model_validate({"data": order["folder"], "store": {"url": order["url"]} if order["url"] else {}})
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
    quiet = sum(one.get(state.value, 0) for one in counts for state in (*ENDS, State.WAITING))
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
            points = Points(order["at"], order["when"])
            code = 1
            try:
                asyncio.run(live(order, points))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os.write(writer, str(points.made).encode())
                sys.stderr.flush()
                os._exit(code)
        os.close(writer)
        _, status = os.waitpid(child, 0)
        made = os.read(reader, 100).decode()
        os.close(reader)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "made": int(made or 0)}), flush=True)


if __name__ == "__main__":
    main()
