"""The producing process of one contender: does what the harness asks for, one JSON line each.

python -m benchmarks.queue.driver ADAPTER
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.queue.loops import run
from benchmarks.queue.marks import MOST
from benchmarks.queue.peer import NotOffered, Peer
from benchmarks.queue.work import body, marks

__all__ = ["load"]
_SLICE = 1000


def load(adapter: str) -> Peer:
    """Find an adapter: `module` or `module:ClassName`."""
    module, _, name = adapter.partition(":")
    peer: Peer = getattr(importlib.import_module(f"benchmarks.queue.peers.{module}"), name or "Contender")()
    return peer


async def _now(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


class Driver:
    """Drives one contender."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._topping: asyncio.Task[None] | threading.Event | None = None
        self._filled = 0

    async def prepare(self) -> None:
        await _now(self.peer.prepare())

    async def open(self, callers: int) -> dict[str, Any]:
        await _now(self.peer.open(callers))
        peer = self.peer
        return {"settings": peer.settings, "bulk": peer.bulk, "priorities": peer.priorities}

    async def close(self) -> None:
        await self.hold(0)
        await _now(self.peer.close())

    async def put_for(self, seconds: float, callers: int, each: int) -> float:
        """Messages a second."""
        if each > 1 and not self.peer.bulk:
            raise NotOffered
        batch = [body()] * each
        done = [0] * callers
        began = time.monotonic()
        until = began + seconds
        if self.peer.blocking:

            def call(who: int) -> None:
                while time.monotonic() < until:
                    self.peer.put(batch)
                    done[who] += each

            await self._threads(callers, call)
        else:

            async def caller(who: int) -> None:
                while time.monotonic() < until:
                    await _now(self.peer.put(batch))
                    done[who] += each

            await asyncio.gather(*(caller(who) for who in range(callers)))
        return sum(done) / (time.monotonic() - began)

    async def fill(self, n: int, do: str = "noop", s: float = 0.0, numbered: bool = False) -> None:
        first = self._filled if numbered else MOST
        bodies = [body(first + i if numbered else MOST, do, s) for i in range(n)]
        self._filled += n
        for at in range(0, n, _SLICE):
            some = bodies[at : at + _SLICE]
            try:
                await _now(self.peer.fill(some))
            except NotOffered:
                await self._one_by_one(some)

    async def _one_by_one(self, bodies: list[dict[str, Any]]) -> None:
        if self.peer.blocking:
            for one in bodies:
                self.peer.put([one])
            return
        left = iter(bodies)

        async def caller() -> None:
            for one in left:
                await _now(self.peer.put([one]))

        await asyncio.gather(*(caller() for _ in range(16)))

    async def grow(self, n: int) -> None:
        await _now(self.peer.grow(n))
        self._filled = n

    async def finished(self) -> dict[str, Any]:
        at_ns = time.monotonic_ns()
        return {"n": await _now(self.peer.finished()), "at_ns": at_ns}

    async def hold(self, level: int, do: str = "noop", s: float = 0.0) -> None:
        """Keep so many waiting from now on, by bulk puts; 0 ends it."""
        if isinstance(self._topping, asyncio.Task):
            self._topping.cancel()
            await asyncio.gather(self._topping, return_exceptions=True)
        elif self._topping is not None:
            self._topping.set()
        self._topping = None
        if level and self.peer.blocking:
            stop = threading.Event()
            threading.Thread(target=self._top_up_blocking, args=(level, do, s, stop), daemon=True).start()
            self._topping = stop
        elif level:
            self._topping = asyncio.create_task(self._top_up(level, do, s))

    async def _top_up(self, level: int, do: str, s: float) -> None:
        while True:
            missing = level - (self._filled - marks().started)
            if missing >= 100:
                await self.fill(min(missing, _SLICE), do, s)
            else:
                await asyncio.sleep(0.005)

    def _top_up_blocking(self, level: int, do: str, s: float, stop: threading.Event) -> None:
        while not stop.is_set():
            missing = level - (self._filled - marks().started)
            if missing >= 100:
                asyncio.run(self.fill(min(missing, _SLICE), do, s))
            else:
                time.sleep(0.005)

    async def paced(self, rate: float, seconds: float) -> list[float]:
        """Put at an even rate; the milliseconds from each put's beginning to its handler's start, -1 where none came."""
        n = min(MOST, int(rate * seconds))
        sent: list[int] = [0] * n
        began = time.monotonic()
        calls: list[Any] = []
        for i in range(n):
            await asyncio.sleep(max(0.0, began + i / rate - time.monotonic()))
            sent[i] = time.monotonic_ns()
            if self.peer.blocking:
                self.peer.put([body(i)])
            else:
                calls.append(asyncio.ensure_future(_now(self.peer.put([body(i)]))))
        await asyncio.gather(*calls)
        until = time.monotonic() + 5
        while time.monotonic() < until and any(marks().starts_of(i) == 0 for i in range(n)):
            await asyncio.sleep(0.05)
        return [(marks().began_ns(i) - sent[i]) / 1e6 if marks().starts_of(i) else -1.0 for i in range(n)]

    async def ranked(self, low: int, high: int) -> None:
        """So many of low priority, then so many urgent ones, each 10 ms of work."""
        if not self.peer.priorities:
            raise NotOffered
        for i in range(low + high):
            await _now(self.peer.put([body(i, "io", 0.01)], urgent=i >= low))

    async def _threads(self, callers: int, call: Callable[[int], None]) -> None:
        if callers == 1:
            call(0)
            return
        with ThreadPoolExecutor(callers) as pool:
            await asyncio.gather(*(asyncio.get_running_loop().run_in_executor(pool, call, who) for who in range(callers)))


async def _serve(peer: Peer, out: int) -> None:
    driver = Driver(peer)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        verb, arguments = json.loads(line)
        try:
            answer = {"ok": await getattr(driver, verb)(**arguments)}
        except NotOffered:
            answer = {"left_out": "no such call"}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        os.write(out, json.dumps(answer).encode() + b"\n")
        if verb == "close":
            return


def main() -> None:
    out = os.dup(1)
    os.dup2(2, 1)  # whatever a contender prints goes to the log, not between the answers
    run(_serve(load(sys.argv[1]), out))
    os._exit(0)  # some contenders leave threads behind


if __name__ == "__main__":
    main()
