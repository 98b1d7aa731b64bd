"""What is measured: one function for each row of the issue's table, each a cell of one contender in one round.

A cell returns named figures. Clocks: rates end to end begin at the first handler's start, so imports and start-up are
left out; latency begins before the put; the time to the first start begins when a worker that has
imported everything is let go.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from benchmarks.queue.contenders import Contender
from benchmarks.queue.peer import NotOffered
from benchmarks.queue.stage import CellFailed, Ground, Stage

__all__ = ["ROWS", "Plan", "Row"]
Figures = dict[str, float | str]
NOOP_SLOTS, IO_SLOTS, IO_S = 20, 200, 0.05
CALLERS = 100


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    seconds: float
    rounds: int
    held_s: float
    patience_s: float
    """How long a crash may take to heal."""
    short: bool


@dataclass(frozen=True)
class Row:
    """A thing to measure, and how often: every round, or once."""

    name: str
    what: str
    cell: Callable[[Ground, Contender, Plan], Figures]
    once: bool = False
    cheap: bool = True
    limits: bool = True
    """Whether the yardsticks take part."""
    together: bool = False
    """The peers run side by side: they only wait for what takes minutes. Perdure runs alone."""


def put_single(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    with Stage(ground, contender) as stage:
        return {"rate": _put(stage, plan, callers=1, each=1)} | _facts(stage)


def put_many(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    callers = 1 if contender.yardstick else CALLERS  # the yardstick's hundred come as one group
    with Stage(ground, contender, callers=callers) as stage:
        return {"rate": _put(stage, plan, callers=callers, each=100 if contender.yardstick else 1)} | _facts(stage)


def put_bulk(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    with Stage(ground, contender) as stage:
        return {"rate": _put(stage, plan, callers=1, each=100)} | _facts(stage)


def noop(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    return _drained(ground, contender, plan, int(contender.rate * plan.seconds * 1.6) + 200, NOOP_SLOTS, "noop", 0.0)


def io(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    most = IO_SLOTS / IO_S
    return _drained(ground, contender, plan, int(min(most, contender.rate) * plan.seconds * 1.3) + 200, IO_SLOTS, "io", IO_S)


def latency(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    with Stage(ground, contender, callers=4) as stage:
        _let_go(stage, NOOP_SLOTS)
        stage.ask("paced", rate=20, seconds=1.0, limit_s=60)  # warm
        stage.marks.clear()
        took = stage.ask("paced", rate=50, seconds=max(plan.seconds, 4.0), limit_s=plan.seconds + 60)
        stage.look()
    arrived = sorted(ms for ms in took if ms >= 0)
    if len(arrived) < len(took):
        raise CellFailed(f"{len(took) - len(arrived)} of {len(took)} had not started 5 s after the last put")
    return {"p50_ms": statistics.median(arrived), "p99_ms": arrived[min(len(arrived) - 1, int(len(arrived) * 0.99))]}


def waiting(level: int) -> Callable[[Ground, Contender, Plan], Figures]:
    """The rate while so many wait, topped up all the time at every level alike, and the time to the first start."""

    def cell(ground: Ground, contender: Contender, plan: Plan) -> Figures:
        with Stage(ground, contender) as stage:
            if level > 1000:
                stage.ask("grow", n=level, limit_s=1200)
            else:
                stage.ask("fill", n=level)
            stage.settle()
            stage.ask("hold", level=level)
            go_ns = _let_go(stage, NOOP_SLOTS)
            first_ns = _first(stage, limit_s=120)
            time.sleep(0.5)
            return {"rate": _started_per_s(stage, plan.seconds), "first_s": (first_ns - go_ns) / 1e9}

    return cell


def priority(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    low, high = 100, 20
    with Stage(ground, contender) as stage:
        stage.ask("ranked", low=low, high=high, limit_s=60)
        _let_go(stage, 1)
        until = time.monotonic() + 60
        while stage.marks.started < low + high and time.monotonic() < until:
            stage.look()
            time.sleep(0.05)
        order = stage.marks.order()
    last = max((at for at, n in enumerate(order) if n >= low), default=-1)
    if sum(n >= low for n in order) < high:
        raise CellFailed(f"only {len(order)} of {low + high} were started")
    before = sum(n < low for n in order[:last])
    return {"low_before_high": before, "honoured": "yes" if before <= 2 else "no"}


def held(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    """Rates with a transaction of somebody else's held open, sampled against the clean rate just before."""
    if contender.engine != "postgresql":
        raise NotOffered
    with Stage(ground, contender) as stage:
        stage.ask("fill", n=1000)
        stage.settle()
        stage.ask("hold", level=1000)
        _let_go(stage, NOOP_SLOTS)
        _first(stage, limit_s=120)
        time.sleep(1)
        clean = _started_per_s(stage, max(plan.seconds, 5.0) * 2)
        with _HeldOpen(stage):
            samples = [_started_per_s(stage, plan.held_s / 10) for _ in range(10)]
    third = statistics.median(samples[-3:])
    return {
        "clean": clean,
        "rate": third,
        "of_clean": statistics.median(samples) / clean,
        "last_of_first": third / max(statistics.median(samples[:3]), 1e-9),
        "samples": " ".join(f"{one:.0f}" for one in samples),
    }


def crash(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    """SIGKILL with 50 messages in flight, each having paid once; a second worker is started at once."""
    n = 50
    with Stage(ground, contender) as stage:
        stage.ask("fill", n=n, do="crash", numbered=True)
        worker = stage.start_worker(n)
        stage.marks.open_gate()
        marks, until = stage.marks, time.monotonic() + 60
        while sum(marks.payments_of(i) > 0 for i in range(n)) < n:
            if time.monotonic() > until:
                raise CellFailed(f"only {marks.started} of {n} were started")
            stage.look()
            time.sleep(0.01)
        time.sleep(0.5)  # what was paid is recorded, where it is
        os.killpg(worker.pid, signal.SIGKILL)
        killed = time.monotonic()
        stage.start_worker(n, gate=False)
        again = 0.0
        while sum(marks.ends_of(i) > 0 for i in range(n)) < n and time.monotonic() - killed < plan.patience_s:
            again = again or (time.monotonic() - killed if marks.started > n else 0.0)
            time.sleep(0.02)
        whole = time.monotonic() - killed
        lost = sum(marks.ends_of(i) == 0 for i in range(n))
        return {
            "lost": lost,
            "again_s": again or -1.0,
            "all_s": -1.0 if lost else whole,
            "run_twice": sum(marks.starts_of(i) > 1 for i in range(n)),
            "ended_twice": sum(marks.ends_of(i) > 1 for i in range(n)),
            "paid_twice": sum(marks.payments_of(i) > 1 for i in range(n)),
        }


def weight(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    """Resident memory of the worker while 1,000 runs wait on I/O."""
    n = 1000
    with Stage(ground, contender) as stage:
        stage.ask("fill", n=n, do="io", s=300.0)
        _let_go(stage, n)
        until = time.monotonic() + 60
        while stage.marks.started < n and time.monotonic() < until:
            stage.look()
            time.sleep(0.05)
        if stage.marks.started < n:
            raise CellFailed(f"only {stage.marks.started} of {n} ran at once")
        time.sleep(2)
        return {"rss_mb": sum(_rss_mb(pid) for pid in _group(stage.workers[0].pid)), "runs": n}


ROWS: tuple[Row, ...] = (
    Row("put_single", "put, one caller, one a call (messages/s)", put_single),
    Row("put_100_callers", "put, 100 callers at once, one a call (messages/s)", put_many),
    Row("put_bulk", "put, 100 a call (messages/s)", put_bulk),
    Row("noop", "end to end, no-op, result stored (messages/s)", noop),
    Row("io", "end to end, 50 ms of I/O, 200 at once (messages/s)", io, limits=False),
    Row("latency", "start latency at 50/s (ms)", latency, limits=False),
    Row("waiting_1k", "rate with 1,000 waiting (messages/s)", waiting(1000), cheap=False),
    Row("waiting_200k", "rate with 200,000 waiting (messages/s)", waiting(200_000), cheap=False),
    Row("waiting_1m", "rate with 1,000,000 waiting (messages/s)", waiting(1_000_000), cheap=False),
    Row("priority", "urgent ones first", priority, once=True, limits=False),
    Row("weight", "worker's resident memory, 1,000 runs waiting (MB)", weight, once=True, limits=False),
    Row("held", "rate with a transaction held open (messages/s)", held, once=True, cheap=False, limits=False),
    Row("crash", "SIGKILL with 50 in flight", crash, once=True, limits=False, together=True),
)


# How it is done --------------------------------------------------------------------------------------


def _put(stage: Stage, plan: Plan, *, callers: int, each: int) -> float:
    stage.ask("put_for", seconds=0.3, callers=callers, each=each)  # warm
    rate: float = stage.ask("put_for", seconds=plan.seconds, callers=callers, each=each, limit_s=plan.seconds + 60)
    return rate


def _facts(stage: Stage) -> Figures:
    return {"settings": str(stage.facts.get("settings", ""))}


def _let_go(stage: Stage, slots: int) -> int:
    stage.start_worker(slots)
    return stage.marks.open_gate()


def _first(stage: Stage, limit_s: float) -> int:
    until = time.monotonic() + limit_s
    while stage.marks.started == 0:
        stage.look()
        if time.monotonic() > until:
            raise CellFailed(f"nothing was started in {limit_s:.0f} s")
        time.sleep(0.002)
    return stage.marks.first_ns


def _drained(ground: Ground, contender: Contender, plan: Plan, n: int, slots: int, do: str, s: float) -> Figures:
    """From the first start on: what has ended after so many seconds, by the contender's own tables, or all if sooner."""
    with Stage(ground, contender, callers=16) as stage:
        stage.ask("fill", n=n, do=do, s=s, limit_s=300)
        stage.settle()
        _let_go(stage, slots)
        first_ns = _first(stage, limit_s=60)
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
        return {"rate": seen["n"] / took_s, "n": seen["n"], "seconds": took_s} | _facts(stage)


def _started_per_s(stage: Stage, seconds: float) -> float:
    before, began = stage.marks.started, time.monotonic()
    time.sleep(seconds)
    stage.look()
    return (stage.marks.started - before) / (time.monotonic() - began)


class _HeldOpen:
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


def _group(pid: int) -> list[int]:
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


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
