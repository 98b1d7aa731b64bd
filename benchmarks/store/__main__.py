"""Put, lease, record and finish: the store beside the same rows written by SQLite alone, in one run.

    python -m benchmarks.store [--messages 5000] [--callers 128] [--rounds 5] [--synchronous full]

Both sides take turns, round by round, on files of the same disk; what counts is the ratio within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.store.bare import Bare
from benchmarks.store.ours import Ours

from perdure.stores.sqlite.store import SqliteStore

BODY, RESULT, REQUEST = b'"' + b"x" * 600 + b'"', b'"' + b"y" * 200 + b'"', b'"' + b"z" * 400 + b'"'
Rates = dict[str, float]


def timed(fn: Callable[[], object]) -> float:
    began = time.perf_counter()
    fn()
    return time.perf_counter() - began


def bare_round(db: Bare, n: int, group: int) -> Rates:
    groups = [[BODY] * group for _ in range(n // group)]
    seconds = {"put, one a call": timed(lambda: [db.put(bodies) for bodies in groups])}
    seconds["put, 100 a call"] = timed(lambda: [db.put([BODY] * 100) for _ in range(n // 100)])
    leases: list[tuple[int, int]] = []
    seconds["lease"] = timed(lambda: [leases.extend(db.lease(group)) for _ in range(n // group)])
    chunks = [leases[at : at + group] for at in range(0, len(leases), group)]
    seconds["step (2 commits)"] = timed(lambda: [db.journal(chunk, 1, REQUEST, RESULT) for chunk in chunks])
    seconds["done"] = timed(lambda: [db.done(chunk, RESULT) for chunk in chunks])
    return {name: n / taken for name, taken in seconds.items()}


async def our_round(ours: Ours, n: int, callers: int) -> Rates:
    seconds = {"put, one a call": await ours.put([BODY] * n, callers)}
    seconds["put, 100 a call"] = await ours.put([BODY] * n, 1, each=100)
    seconds["lease"], leases = await ours.lease(n, callers)
    seconds["step (2 commits)"] = await ours.journal(leases, 1, REQUEST, RESULT, callers)
    seconds["done"] = await ours.done(leases, RESULT, callers)
    return {name: n / taken for name, taken in seconds.items()}


async def compare(folder: Path, n: int, callers: int, rounds: int, synchronous: str) -> None:
    db = Bare(folder / "bare.db", synchronous)
    async with SqliteStore(folder / "ours.db", synchronous=synchronous) as store:
        ours = Ours(store)
        found = [(bare_round(db, n, callers), await our_round(ours, n, callers)) for _ in range(rounds)]
    db.close()
    print(f"{n} messages a round, {rounds} rounds, {callers} callers, synchronous={synchronous}; messages a second, medians")
    print(f"{'':18}{'SQLite alone':>14}{'this store':>14}{'ratio':>8}{'   lowest to highest':>22}")
    for name in found[0][0]:
        ratios = sorted(ours[name] / bare[name] for bare, ours in found)
        bare, ours_rate = (statistics.median(pair[side][name] for pair in found) for side in (0, 1))
        print(f"{name:18}{bare:14,.0f}{ours_rate:14,.0f}{statistics.median(ratios):8.2f}{ratios[0]:14.2f} to {ratios[-1]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store")
    parser.add_argument("--messages", type=int, default=5120)
    parser.add_argument("--callers", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--synchronous", choices=["full", "normal"], default="full")
    parser.add_argument("--folder", type=Path, default=None, help="on which disk; the temporary directory by default")
    given = parser.parse_args()
    n = given.messages // given.callers * given.callers
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        asyncio.run(compare(Path(folder), n, given.callers, given.rounds, given.synchronous))


if __name__ == "__main__":
    main()
