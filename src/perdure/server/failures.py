"""What `/api/v1` says of errors: patterns among them, and one report of one error."""

from __future__ import annotations

from typing import Literal

import msgspec

from perdure.agents.journal import Step, StepState
from perdure.clock import iso
from perdure.errors.base import ErrorFacts
from perdure.errors.patterns import Pattern
from perdure.errors.recovery import recovery
from perdure.messages import ids
from perdure.messages.message import Attempt, View
from perdure.server.answers import AttemptJson, ErrorJson, Time

__all__ = ["CorrelationJson", "PatternJson", "RecoveryJson", "ReportJson", "StepBrief"]

_CORRELATIONS = 8


class CorrelationJson(msgspec.Struct, kw_only=True):
    """With what an error comes together."""

    what: str
    value: str
    count: int
    share: float
    """Of these errors, as far as they have one."""
    usual: float
    """Of all other errors that have one; only what surely stands out is listed."""


class PatternJson(msgspec.Struct, kw_only=True):
    """Errors from one place whose messages have one template."""

    object: Literal["pattern"] = "pattern"
    id: str
    code: str
    category: str
    where: str
    agent: str | None
    provider: str | None
    tool: str | None
    tool_version: str | None
    frame: str | None
    unmapped: bool
    """Answers of a provider that no rule knew: `sample` is one of them, and `hint` says how to write a rule."""
    template: str
    sample: str
    hint: str | None
    count: int
    first_at: Time
    last_at: Time
    last_day: int
    day_before: int
    trend: str
    spike: bool
    hours: list[int]
    correlations: list[CorrelationJson]

    @classmethod
    def of(cls, pattern: Pattern) -> PatternJson:
        """Write a pattern.

        Args:
            pattern (Pattern): As found among the lines.

        Returns:
            PatternJson: For the wire.
        """
        same = {name: getattr(pattern, name) for name in cls.__struct_fields__ if name not in _TRANSLATED}
        return cls(
            **same,
            category=pattern.category.value,
            trend=pattern.trend.value,
            first_at=iso(pattern.first_at) or "",
            last_at=iso(pattern.last_at) or "",
            hours=list(pattern.hours),
            correlations=[CorrelationJson(**msgspec.structs.asdict(one)) for one in pattern.correlations[:_CORRELATIONS]],
        )


_TRANSLATED = frozenset({"object", "category", "trend", "first_at", "last_at", "hours", "correlations"})


class RecoveryJson(msgspec.Struct, kw_only=True):
    """What an error does to a message."""

    then: str
    until: Time | None
    uses_attempt: bool
    closes: str | None
    counts_in_circuit: bool
    words: str

    @classmethod
    def of(cls, error: ErrorFacts) -> RecoveryJson:
        """Write what follows from an error.

        Args:
            error (ErrorFacts): It.

        Returns:
            RecoveryJson: For the wire.
        """
        found = recovery(error)
        closes = None if found.closes is None else found.closes.value
        return cls(
            then=found.then.value,
            until=iso(found.until),
            uses_attempt=found.uses_attempt,
            closes=closes,
            counts_in_circuit=found.counts_in_circuit,
            words=found.words,
        )


class StepBrief(msgspec.Struct, kw_only=True):
    """A step without what was asked and answered."""

    number: int
    kind: str
    name: str
    state: str
    tries: int
    tool_version: str | None
    began_at: Time
    ended_at: Time | None
    error: ErrorJson | None

    @classmethod
    def of(cls, step: Step) -> StepBrief:
        """Write a step.

        Args:
            step (Step): As the journal keeps it.

        Returns:
            StepBrief: For the wire.
        """
        return cls(
            number=step.number,
            kind=step.key.kind.value,
            name=step.key.name,
            state=step.state.value,
            tries=step.tries,
            tool_version=step.tool_version,
            began_at=iso(step.began_at) or "",
            ended_at=iso(step.ended_at),
            error=ErrorJson.of(step.error),
        )


class ReportJson(msgspec.Struct, kw_only=True):
    """All about why one message died, without secrets, prompts or answers."""

    object: Literal["report"] = "report"
    id: str
    agent: str
    queue: str
    code_version: str | None
    error: ErrorJson
    """With its causes, nearest first."""
    pattern: str | None
    """What else has failed like this: `/api/v1/errors/{pattern}`."""
    attempts: list[AttemptJson]
    failed_step: StepBrief | None
    """The step whose failure it was."""
    steps: list[StepBrief]
    next: RecoveryJson

    @classmethod
    def of(cls, view: View, error: ErrorFacts, *, attempts: list[Attempt], steps: list[Step], pattern: str | None) -> ReportJson:
        """Write a report.

        Args:
            view (View): The dead letter.
            error (ErrorFacts): What it died of.
            attempts (list[Attempt]): How each attempt ended.
            steps (list[Step]): Of its run.
            pattern (str | None): The pattern of its error.

        Returns:
            ReportJson: For the wire.
        """
        failed = [step for step in steps if step.state is StepState.FAILED and step.error is not None]
        blamed = next((step for step in reversed(failed) if _same(step.error, error)), None)
        return cls(
            id=ids.write(view.message.id),
            agent=view.message.agent,
            queue=view.message.queue,
            code_version=view.code_version,
            error=ErrorJson.of(error) or _never(),
            pattern=pattern,
            attempts=[AttemptJson.of(one) for one in attempts],
            failed_step=None if blamed is None else StepBrief.of(blamed),
            steps=[StepBrief.of(step) for step in steps],
            next=RecoveryJson.of(error),
        )


def _same(step: ErrorFacts | None, error: ErrorFacts) -> bool:
    return step is not None and (step.code, step.message) == (error.code, error.message)


def _never() -> ErrorJson:
    raise AssertionError("an error is never written as none")
