"""What the journal says of a call, without any run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.agents.journal import Step, StepKey, StepKind, StepState
from perdure.agents.replay import Course, Replay, ambiguous, course
from perdure.errors.base import Billed, Category, ErrorFacts

LATE = ErrorFacts(code="provider-timeout", category=Category.TIMEOUT, message="late", billed=Billed.MAYBE)
LIMITED = ErrorFacts(code="provider-rate-limited", category=Category.RATE_LIMIT, message="slow down")


def step(
    number: int = 1,
    state: StepState = StepState.DONE,
    *,
    kind: StepKind = StepKind.LLM,
    name: str = "ask",
    digest: str = "a",
    n: int = 0,
    scope: str = "",
    **more: object,
) -> Step:
    return Step(number=number, key=StepKey(scope, kind, name, digest, n), state=state, attempt=1, began_at=0.0, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "kind", "was_idempotent", "is_idempotent", "wanted"),
    [
        (StepState.DONE, StepKind.TOOL, False, False, Course.ANSWER),
        (StepState.FAILED, StepKind.TOOL, False, False, Course.RAISE),
        (StepState.AGAIN, StepKind.TOOL, False, False, Course.MAKE),
        (StepState.INTENT, StepKind.LLM, False, False, Course.MAKE),
        (StepState.INTENT, StepKind.SLEEP, False, False, Course.MAKE),
        (StepState.INTENT, StepKind.TOOL, True, True, Course.MAKE),
        (StepState.INTENT, StepKind.STEP, True, True, Course.MAKE),
        (StepState.INTENT, StepKind.TOOL, False, False, Course.ASK),
        (StepState.INTENT, StepKind.STEP, False, False, Course.ASK),
        (StepState.INTENT, StepKind.TOOL, True, False, Course.ASK),
        (StepState.INTENT, StepKind.TOOL, False, True, Course.ASK),
    ],
)
def test_what_is_done_with_a_call_follows_from_its_step(
    state: StepState, kind: StepKind, was_idempotent: bool, is_idempotent: bool, wanted: Course
) -> None:
    assert course(step(state=state, kind=kind, idempotent=was_idempotent), idempotent=is_idempotent) is wanted


def test_a_call_that_was_never_made_is_made() -> None:
    assert course(None, idempotent=False) is Course.MAKE
    assert not ambiguous(None)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (step(state=StepState.INTENT), True),
        (step(state=StepState.INTENT, kind=StepKind.TOOL, idempotent=True), True),
        (step(state=StepState.INTENT, kind=StepKind.SLEEP), False),
        (step(state=StepState.AGAIN, error=LATE), True),
        (step(state=StepState.AGAIN, error=LIMITED), False),
        (step(state=StepState.AGAIN), False),
        (step(state=StepState.AGAIN, kind=StepKind.TOOL, error=LATE), False),
    ],
)
def test_only_what_may_have_happened_before_is_ambiguous(found: Step, wanted: bool) -> None:
    assert ambiguous(found) is wanted


def test_equal_calls_are_told_apart_by_their_count() -> None:
    replay = Replay([step(1, n=0), step(2, n=1)])
    taken = [replay.take("", StepKind.LLM, "ask", "a") for _ in range(3)]
    assert [key.n for key, _ in taken] == [0, 1, 2]
    assert [found and found.number for _, found in taken] == [1, 2, None]


def test_the_count_begins_anew_in_every_scope() -> None:
    replay = Replay([])
    assert [replay.take(scope, StepKind.LLM, "ask", "a")[0].n for scope in ("", "left", "right", "left")] == [0, 0, 0, 1]


def test_new_steps_follow_the_last_one() -> None:
    replay = Replay([step(4), step(2, digest="b")])
    assert (replay.next_number(), replay.next_number()) == (5, 6)


def test_another_call_where_one_was_recorded_diverges() -> None:
    replay = Replay([step(1)])
    key, found = replay.take("", StepKind.LLM, "ask", "changed")
    assert found is None
    assert replay.diverges(key)


@pytest.mark.parametrize(
    ("scope", "kind", "name"), [("branch", StepKind.LLM, "ask"), ("", StepKind.TOOL, "ask"), ("", StepKind.LLM, "other")]
)
def test_a_call_elsewhere_does_not_diverge(scope: str, kind: StepKind, name: str) -> None:
    replay = Replay([step(1)])
    key, _ = replay.take(scope, kind, name, "changed")
    assert not replay.diverges(key)


def test_a_call_after_its_like_has_been_claimed_does_not_diverge() -> None:
    replay = Replay([step(1)])
    replay.take("", StepKind.LLM, "ask", "a")
    key, _ = replay.take("", StepKind.LLM, "ask", "one more")
    assert not replay.diverges(key)


def test_a_call_that_did_not_happen_may_be_replaced_by_another() -> None:
    replay = Replay([step(1, StepState.AGAIN, error=LIMITED)])
    key, _ = replay.take("", StepKind.LLM, "ask", "changed")
    assert not replay.diverges(key)


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "a/b"]), st.sampled_from(["ask", "tell"]), st.sampled_from(["x", "y", "z"])), max_size=30),
    st.randoms(),
)
def test_the_same_calls_find_their_steps_in_whatever_order_branches_run(calls: list[tuple[str, str, str]], dice: object) -> None:
    first = Replay([])
    keys = [first.take(scope, StepKind.LLM, name, digest)[0] for scope, name, digest in calls]
    assert len(set(keys)) == len(keys)
    recorded = [Step(number=number, key=key, state=StepState.DONE, attempt=1, began_at=0.0) for number, key in enumerate(keys, 1)]
    shuffled = list(calls)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    second = Replay(recorded)
    found = [second.take(scope, StepKind.LLM, name, digest)[1] for scope, name, digest in shuffled]
    assert {one.number for one in found if one} == set(range(1, len(calls) + 1))
