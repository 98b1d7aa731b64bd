"""How it is measured: what the cells of `cells.py` share."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from benchmarks.queue.contenders import Contender
from benchmarks.queue.stage import CellFailed, Ground, Stage

__all__ = [
    "Figures",
    "HeldOpen",
    "Plan",
    "cpu_s",
    "drained",
    "facts",
    "first_start",
    "group_of",
    "let_go",
    "put_rate",
    "rss_mb",
    "started_per_s",
]
Figures = dict[str, float | str]


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    seconds: float
    rounds: int
    held_s: float
    patience_s: float
    """How long a crash may take to heal."""
    short: bool


def put_rate(stage: Stage, plan: Plan, *, callers: int, each: int) -> float:
    stage.ask("put_for", seconds=0.3, callers=callers, each=each)  # warm
    rate: float = stage.ask("put_for", seconds=plan.seconds, callers=callers, each=each, limit_s=plan.seconds + 60)
    return rate


def facts(stage: Stage) -> Figures:
    return {"settings": str(stage.facts.get("settings", ""))}


def let_go(stage: Stage, slots: int) -> int:
    stage.start_worker(slots)
    return stage.marks.open_gate()


def first_start(stage: Stage, limit_s: float) -> int:
    until = time.monotonic() + limit_s
    while stage.marks.started == 0:
        stage.look()
        if time.monotonic() > until:
            raise CellFailed(f"nothing was started in {limit_s:.0f} s")
        time.sleep(0.002)
    return stage.marks.first_ns


def drained(ground: Ground, contender: Contender, plan: Plan, n: int, slots: int, do: str, s: float) -> Figures:
    """From the first start on: what has ended after so many seconds, by the contender's own tables, or all if sooner."""
    with Stage(ground, contender, callers=16) as stage:
        stage.ask("fill", n=n, do=do, s=s, limit_s=300)
        stage.settle()
        let_go(stage, slots)
        first_ns = first_start(stage, limit_s=60)
        before_s = cpu_s(stage.workers[0].pid)
        until_ns = first_ns + int(plan.seconds * 1e9)
        while time.monotonic_ns() < until_ns and stage.marks.started < n:
            time.sleep(0.002)
        early = stage.marks.started >= n
        seen = stage.ask("finished", limit_s=60)
        while early and seen["n"] < n and seen["at_ns"] < first_ns + 4 * int(plan.seconds * 1e9) + 10**10:
            time.sleep(0.005)
            seen = stage.ask("finished", limit_s=60)
        stage.look()
        took_s = (seen["at_ns"] - first_ns) / 1e9
        cpu_ms = 1000 * (cpu_s(stage.workers[0].pid) - before_s) / max(seen["n"], 1)
        return {"rate": seen["n"] / took_s, "n": seen["n"], "seconds": took_s, "cpu_ms": cpu_ms} | facts(stage)


def started_per_s(stage: Stage, seconds: float) -> float:
    before, began = stage.marks.started, time.monotonic()
    time.sleep(seconds)
    stage.look()
    return (stage.marks.started - before) / (time.monotonic() - began)


class HeldOpen:
    """Somebody's transaction: it has a number and a snapshot, and does nothing more."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> None:
        assert self._stage.ground.postgres is not None

        async def hold() -> asyncpg.Connection:
            connection = await asyncpg.connect(self._stage.ground.postgres.dsn + str(self._stage.database))
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await connection.execute("SELECT pg_current_xact_id(), count(*) FROM pg_class")
            return connection

        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(hold())

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


def group_of(pid: int) -> list[int]:
    """All processes of a worker: it leads a group of its own."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                if os.getpgid(int(place.name)) == pid:
                    found.append(int(place.name))
            except ProcessLookupError:
                continue
    return found


def cpu_s(leader: int) -> float:
    """Processor time that a worker's processes have used, the kernel's for them included."""
    ticks = 0
    for pid in group_of(leader):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
