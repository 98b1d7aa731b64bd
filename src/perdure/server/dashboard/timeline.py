"""A run's steps on one line of time, on which waiting takes little room.

A run may sleep for a day between two calls of a second. Drawn to scale the calls would vanish; so
stretches in which nothing was under way are drawn short, and only work is drawn to scale.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from perdure.agents.journal import Step, StepKind, StepState
from perdure.clock import Moment

WIDTH = 1000
_GAP_SHARE = 0.04
_LEAST = 4.0

__all__ = ["WIDTH", "Bar", "bars"]


@dataclass(frozen=True)
class Bar:
    """Where a step lies, in thousandths of the line."""

    step: Step
    x: float
    width: float
    look: str
    """`done`, `failed`, `again`, `open` or `waits`."""


def bars(steps: Sequence[Step], *, now: Moment) -> list[Bar]:
    """Lay steps out.

    Args:
        steps (Sequence[Step]): By number.
        now (Moment): The time, for what is still under way.

    Returns:
        list[Bar]: One for each step, in the same order.
    """
    spans = [_span(step, now) for step in steps]
    worked = _merged([where for step, where in zip(steps, spans, strict=True) if step.key.kind is not StepKind.SLEEP])
    gaps = [later[0] - earlier[1] for earlier, later in itertools.pairwise(worked)]
    busy = sum(end - begin for begin, end in worked)
    # A gap is drawn as long as it was, but never longer than its share of the work.
    longest = busy * _GAP_SHARE or 1.0
    total = (busy + sum(min(gap, longest) for gap in gaps)) or 1.0

    def place(moment: Moment) -> float:
        at, before = 0.0, None
        for begin, end in worked:
            if before is not None:
                at += min(max(0.0, min(moment, begin) - before), longest)
            at += max(0.0, min(moment, end) - begin)
            before = end
        return min(WIDTH, at / total * WIDTH)

    placed = []
    for step, (begin, end) in zip(steps, spans, strict=True):
        x = min(place(begin), WIDTH - _LEAST)
        placed.append(Bar(step, round(x, 1), round(max(_LEAST, min(place(end), WIDTH) - x), 1), _look(step)))
    return placed


def _span(step: Step, now: Moment) -> tuple[Moment, Moment]:
    return step.began_at, max(step.began_at, step.ended_at if step.ended_at is not None else now)


def _merged(spans: Sequence[tuple[Moment, Moment]]) -> list[tuple[Moment, Moment]]:
    merged: list[tuple[Moment, Moment]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _look(step: Step) -> str:
    if step.key.kind is StepKind.SLEEP:
        return "waits"
    return {StepState.DONE: "done", StepState.FAILED: "failed", StepState.AGAIN: "again"}.get(step.state, "open")
