"""What is measured: one function for each row of the page, each a cell of one contender in one round.

A cell returns named figures. Clocks: rates end to end begin at the first handler's start, so imports and start-up are
left out; latency begins before the put; the time to the first start begins when a worker that has
imported everything is let go.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.queue.contenders import Contender
from benchmarks.queue.measuring import (
    Figures,
    HeldOpen,
    Plan,
    drained,
    facts,
    first_start,
    group_of,
    let_go,
    put_rate,
    rss_mb,
    started_per_s,
)
from benchmarks.queue.peer import NotOffered
from benchmarks.queue.stage import CellFailed, Ground, Stage

__all__ = ["ROWS", "Row"]
NOOP_SLOTS, IO_SLOTS, IO_S = 20, 200, 0.05
CALLERS = 100


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
        return {"rate": put_rate(stage, plan, callers=1, each=1)} | facts(stage)


def put_many(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    callers = 1 if contender.yardstick else CALLERS  # the yardstick's hundred come as one group
    with Stage(ground, contender, callers=callers) as stage:
        return {"rate": put_rate(stage, plan, callers=callers, each=100 if contender.yardstick else 1)} | facts(stage)


def put_bulk(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    with Stage(ground, contender) as stage:
        return {"rate": put_rate(stage, plan, callers=1, each=100)} | facts(stage)


def noop(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    return drained(ground, contender, plan, int(contender.rate * plan.seconds * 1.6) + 200, NOOP_SLOTS, "noop", 0.0)


def io(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    most = IO_SLOTS / IO_S
    return drained(ground, contender, plan, int(min(most, contender.rate) * plan.seconds * 1.3) + 200, IO_SLOTS, "io", IO_S)


def latency(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    with Stage(ground, contender, callers=4) as stage:
        let_go(stage, NOOP_SLOTS)
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
            go_ns = let_go(stage, NOOP_SLOTS)
            first_ns = first_start(stage, limit_s=120)
            time.sleep(0.5)
            return {"rate": started_per_s(stage, plan.seconds), "first_s": (first_ns - go_ns) / 1e9}

    return cell


def priority(ground: Ground, contender: Contender, plan: Plan) -> Figures:
    low, high = 100, 20
    with Stage(ground, contender) as stage:
        stage.ask("ranked", low=low, high=high, limit_s=60)
        let_go(stage, 1)
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
        let_go(stage, NOOP_SLOTS)
        first_start(stage, limit_s=120)
        time.sleep(1)
        clean = started_per_s(stage, max(plan.seconds, 5.0) * 2)
        with HeldOpen(stage):
            samples = [started_per_s(stage, plan.held_s / 10) for _ in range(10)]
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
        let_go(stage, n)
        until = time.monotonic() + 60
        while stage.marks.started < n and time.monotonic() < until:
            stage.look()
            time.sleep(0.05)
        if stage.marks.started < n:
            raise CellFailed(f"only {stage.marks.started} of {n} ran at once")
        time.sleep(2)
        return {"rss_mb": sum(rss_mb(pid) for pid in group_of(stage.workers[0].pid)), "runs": n}


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
