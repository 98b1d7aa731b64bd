"""What the journal says of a call: decide, then let others do.

Theory of operation: a call is found again by its content. Each time an agent makes a call, `take` counts
how many equal ones came before and looks up the step with that very key; a step so found is *claimed*.
What is then to be done with it depends on its state alone (`course`). A call that finds nothing, while a
step of the same scope, kind and name lies there unclaimed, is a divergence: the agent has changed its
mind since it ran last. Nothing here waits or writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum

from perdure.agents.journal import WAITS, Step, StepKey, StepKind, StepState
from perdure.errors.base import Billed

__all__ = ["Course", "Replay", "ambiguous", "course"]

_EFFECTS = frozenset({StepKind.TOOL, StepKind.STEP})


class Course(StrEnum):
    """What to do with a call."""

    MAKE = "make"
    ANSWER = "answer"  # with the recorded result
    RAISE = "raise"  # the recorded error again
    ASK = "ask"  # a person: it may or may not have happened


class Replay:
    """The steps of earlier attempts, and which of them this attempt has come by.

    Args:
        steps (Iterable[Step]): The whole journal of the run.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = {step.key: step for step in steps}
        self._last = max((step.number for step in self._steps.values()), default=0)
        self._counts: defaultdict[tuple[str, StepKind, str, str], int] = defaultdict(int)
        self._unclaimed: defaultdict[tuple[str, StepKind, str], set[StepKey]] = defaultdict(set)
        for step in self._steps.values():
            if step.state is not StepState.AGAIN:  # it did not happen, so nothing is lost if another call takes its place
                self._unclaimed[_place(step.key)].add(step.key)

    def take(self, scope: str, kind: StepKind, name: str, fingerprint: str) -> tuple[StepKey, Step | None]:
        """Name a call, and find its step if there is one. Must be called when the call is made, before any wait.

        Args:
            scope (str): Where it is made.
            kind (StepKind): What it is a call of.
            name (str): Its name.
            fingerprint (str): Digest of its arguments.

        Returns:
            tuple[StepKey, Step | None]: Its key, and the step that has it.
        """
        same = (scope, kind, name, fingerprint)
        key = StepKey(*same, self._counts[same])
        self._counts[same] += 1
        self._unclaimed[_place(key)].discard(key)
        return key, self._steps.get(key)

    def diverges(self, key: StepKey) -> bool:
        """Tell whether a new call stands where another one was recorded.

        Args:
            key (StepKey): A key for which no step was found.

        Returns:
            bool: True while a step of its scope, kind and name is unclaimed.
        """
        return bool(self._unclaimed[_place(key)])

    def next_number(self) -> int:
        """Give a new step its place in the journal.

        Returns:
            int: One more than the last.
        """
        self._last += 1
        return self._last


def course(step: Step | None, *, idempotent: bool) -> Course:
    """Decide what to do with a call.

    Args:
        step (Step | None): What the journal knows of it.
        idempotent (bool): Whether it may be run twice, as the code says now.

    Returns:
        Course: A tool is made again only if it was idempotent when its outcome was lost, and still is.
    """
    if step is None or step.state is StepState.AGAIN:
        return Course.MAKE
    if step.state is StepState.DONE:
        return Course.ANSWER
    if step.state is StepState.FAILED:
        return Course.RAISE
    if step.key.kind in _EFFECTS and not (idempotent and step.idempotent):
        return Course.ASK
    return Course.MAKE


def ambiguous(step: Step | None) -> bool:
    """Tell whether making a call now may be making it a second time.

    Args:
        step (Step | None): What the journal knows of it.

    Returns:
        bool: True for an intent without a result, and for an LLM call whose failure may have been billed.
    """
    if step is None or step.key.kind in WAITS:
        return False
    if step.state is StepState.INTENT:
        return True
    return step.key.kind is StepKind.LLM and step.error is not None and step.error.billed is not Billed.NO


def _place(key: StepKey) -> tuple[str, StepKind, str]:
    return (key.scope, key.kind, key.name)
