"""What a run may use, and what it has used in all its attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from perdure.agents.journal import WAITS, Step, StepKind
from perdure.errors.base import RunLimit
from perdure.resources.usage import Usage

__all__ = ["Capture", "Limits", "Spending"]

Capture: TypeAlias = Literal["full", "redacted", "none"]
"""What a journal keeps to show of what calls ask. Results are always kept, since a replay needs them."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """A run's own limits; None is none. They hold for all its attempts together."""

    max_steps: int | None = None
    max_tokens: int | None = None
    max_time_s: float | None = None
    max_cost_usd: float | None = None
    """Checked before each call of a model; one whose price nobody knows is then not made."""
    max_children: int = 10_000
    """Messages that the run may send."""
    max_depth: int = 16
    """Runs that may stand behind one another, each sent by the one before."""


class Spending:
    """Keeps account of one run.

    Args:
        limits (Limits): What it may use.
        recorded (Iterable[Step]): What it did before.
    """

    def __init__(self, limits: Limits, recorded: Iterable[Step]) -> None:
        self._limits = limits
        self._usage: dict[int, Usage] = {}
        self._again: defaultdict[int, int] = defaultdict(int)
        self._steps: set[int] = set()
        self._earlier_s = 0.0
        self._sent = 0
        for step in recorded:
            if step.origin is not None:  # another run did and paid for it
                continue
            self._steps.add(step.number)
            self.add(step.number, step.usage)
            if step.key.kind is StepKind.LLM:
                self._again[step.number] = step.ambiguous
            if step.key.kind is StepKind.SEND and step.result is not None:
                self._sent += len(msgspec.json.decode(step.result))
            if step.key.kind not in WAITS and step.ended_at is not None:
                self._earlier_s += max(0.0, step.ended_at - step.began_at)

    @property
    def time_left_s(self) -> float | None:
        """What is left of `max_time_s` after the calls of earlier attempts; None without a limit."""
        limit_s = self._limits.max_time_s
        return None if limit_s is None else max(0.0, limit_s - self._earlier_s)

    @property
    def max_cost_usd(self) -> float | None:
        """What the run may cost; None without a limit."""
        return self._limits.max_cost_usd

    @property
    def max_depth(self) -> int:
        """How many runs may stand behind one another."""
        return self._limits.max_depth

    def admit_children(self, count: int) -> None:
        """Count messages that are about to be sent.

        Args:
            count (int): How many.

        Raises:
            RunLimit: The run has sent as many as it may.
        """
        most = self._limits.max_children
        if self._sent + count > most:
            raise RunLimit(
                "children",
                f"the run has sent {self._sent:,} messages, and may send {most:,}",
                hint="Raise the agent's `max_children`, or put a group.",
            )
        self._sent += count

    def admit(self, kind: StepKind, number: int) -> None:
        """Count a step that is about to be made.

        Args:
            kind (StepKind): What it is a call of.
            number (int): Its number; one that was made before counts once.

        Raises:
            RunLimit: The run has made its last one.
        """
        steps, tokens = self._limits.max_steps, self._limits.max_tokens
        if steps is not None and number not in self._steps and len(self._steps) >= steps:
            raise RunLimit(
                "steps", f"the run has made {len(self._steps)} steps and may make {steps}", hint="Raise the agent's `max_steps`."
            )
        used = self._tokens()
        if kind is StepKind.LLM and tokens is not None and used >= tokens:
            raise RunLimit("tokens", f"the run has used {used} tokens and may use {tokens}", hint="Raise the agent's `max_tokens`.")
        if kind is StepKind.LLM:
            self._admit_cost()
        self._steps.add(number)

    def _admit_cost(self) -> None:
        most = self._limits.max_cost_usd
        if most is None:
            return
        total = self.total()
        used = (total.cost_usd or 0.0) + total.reckoned_usd
        if used >= most:
            unknown = f", {total.reckoned_usd:.4f} of it as reckoned for {total.unpriced} calls of unknown cost" if total.unpriced else ""
            raise RunLimit(
                "cost",
                f"the run has cost {used:.4f} US dollars{unknown}, and may cost {most:.4f}",
                hint="Raise `max_cost_usd` of the agent or the message, or choose a cheaper model.",
            )

    def add(self, number: int, usage: Usage | None) -> None:
        """Count what a step used.

        Args:
            number (int): Which.
            usage (Usage | None): How much; None is unknown.
        """
        if usage is not None:
            self._usage[number] = self._usage.get(number, Usage()) + usage

    def paid_again(self, number: int) -> None:
        """Count an LLM call that is made once more although it may have been billed.

        Args:
            number (int): Its step.
        """
        self._again[number] += 1

    def total(self) -> Usage:
        """Add up.

        Returns:
            Usage: Of all steps and attempts.
        """
        return sum(self._usage.values(), Usage(paid_again=sum(self._again.values())))

    def _tokens(self) -> int:
        total = self.total()
        return (total.input_tokens or 0) + (total.output_tokens or 0)
