"""One call through the provider layer beside the same request as a bare pooled HTTP call, in one run.

    python -m benchmarks.provider [--rounds 21] [--calls 300] [--at-once 32]

The layer is all that a run's call goes through but the journal: the model's name is resolved, the lane is entered,
the request is fitted to the endpoint's row and encoded, the answer decoded, checked, counted and told. Bare is aiohttp
with a pooled connection, the request as ready bytes, the answer read and not looked at. Both take turns, round by round,
in one process against one server in another; what counts is the median of each round's difference and ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from perdure.clock import SystemClock
from perdure.errors.base import ErrorFacts
from perdure.providers.generic import GenericProvider
from perdure.providers.models import Models
from perdure.testing import InMemoryStore
from perdure.worker.lanes import Lanes

PROMPT = "Explain in plain words why the sky is blue, and why it is red in the evening. " * 6
ASK: dict[str, Any] = {
    "messages": [{"role": "system", "content": "You are brief."}, {"role": "user", "content": PROMPT}],
    "temperature": 0.2,
    "max_tokens": 200,
}
FLOOR_MS, GOAL_MS, FLOOR, GOAL = 1.0, 0.4, 0.30, 0.60

Call = Callable[[], Awaitable[None]]


def bare(session: aiohttp.ClientSession, url: str) -> Call:
    data = json.dumps({**ASK, "model": "m"}).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer k"}

    async def call() -> None:
        async with session.post(url, data=data, headers=headers) as response:
            await response.read()

    return call


def layered(models: Models, lanes: Lanes) -> Call:
    async def call() -> None:
        target = models.resolve("mine/m")
        passage = await lanes.enter(target.lane)
        assert not isinstance(passage, ErrorFacts)
        await target.provider.chat(target.request(ASK))
        passage.answered()

    return call


async def one_by_one(call: Call, calls: int) -> float:
    """Milliseconds that half of the calls take at most."""
    taken = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


async def many(call: Call, calls: int, at_once: int) -> float:
    """Requests for each second of this process's CPU."""

    async def some() -> None:
        for _ in range(calls // at_once):
            await call()

    began = time.process_time()
    await asyncio.gather(*(some() for _ in range(at_once)))
    return (calls // at_once * at_once) / (time.process_time() - began)


async def compare(port: int, rounds: int, calls: int, at_once: int) -> bool:
    base = f"http://127.0.0.1:{port}/v1"
    provider = GenericProvider("mine", base_url=base, api_key="k", dialect="vllm", models=["m"])
    models = Models({"mine": provider}, {}, "mine/m")
    async with InMemoryStore() as store, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        plain, ours = bare(session, f"{base}/chat/completions"), layered(models, Lanes(store.messages, SystemClock()))
        for call in (plain, ours):
            await many(call, calls, at_once)
        found = []
        for turn in range(rounds):
            sides = [plain, ours] if turn % 2 else [ours, plain]
            found.append({call: (await one_by_one(call, calls), await many(call, calls * 4, at_once)) for call in sides})
    await models.aclose()
    return tell([one[plain] for one in found], [one[ours] for one in found], at_once)


def tell(plain: list[tuple[float, float]], ours: list[tuple[float, float]], at_once: int) -> bool:
    added = statistics.median(mine[0] - theirs[0] for mine, theirs in zip(ours, plain, strict=True))
    share = statistics.median(mine[1] / theirs[1] for mine, theirs in zip(ours, plain, strict=True))
    print(f"{'':34}{'bare aiohttp':>14}{'perdure':>14}")
    for what, at in (("half of the calls take, in ms", 0), (f"requests a CPU second, {at_once} at once", 1)):
        print(f"{what:34}{statistics.median(row[at] for row in plain):>14.3f}{statistics.median(row[at] for row in ours):>14.3f}")
    print(f"added: {added:.3f} ms (floor {FLOOR_MS}, goal {GOAL_MS}); {share:.0%} of the bare rate (floor {FLOOR:.0%}, goal {GOAL:.0%})")
    return added <= FLOOR_MS and share >= FLOOR


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--at-once", type=int, default=32)
    given = parser.parse_args()
    command = [sys.executable, "-m", "benchmarks.provider.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            kept = asyncio.run(compare(int(server.stdout.readline()), given.rounds, given.calls, given.at_once))
        finally:
            server.stdin.close()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
