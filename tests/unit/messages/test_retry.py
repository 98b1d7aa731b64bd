"""SEMANTICS 3, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import base
from perdure.errors.base import Category, ErrorFacts, PerdureError, Scope
from perdure.messages.message import Lease, Message, MessageId, WorkerId
from perdure.messages.retry import Backoff, Bury, Ending, Park, Release, Retry, backoff_s, closes_lane, fate, unsaid_until, wait_of

NOW = 1_790_000_000.0
DAY = 24 * 3600.0


def lease(*, attempt: int = 1, attempts: int = 5, waiting_since: float | None = None, max_wait_s: float = 7 * DAY) -> Lease:
    message = Message(
        id=MessageId(1),
        agent="mail",
        body=b"1",
        queue="default",
        tenant="default",
        priority=5,
        attempts=attempts,
        created_at=NOW,
        max_wait_s=max_wait_s,
    )
    return Lease(message=message, token=1, worker=WorkerId(1), attempt=attempt, leased_at=NOW, waiting_since=waiting_since)


def ending(error: PerdureError | ErrorFacts, *, dice: float = 0.5, step: int | None = None, **of_lease: Any) -> Ending:
    facts = error.facts() if isinstance(error, PerdureError) else error
    return fate(facts, lease=lease(**of_lease), step=step, now=NOW, dice=dice)


def test_an_error_to_be_retried_uses_an_attempt_and_comes_back_later() -> None:
    answer = ending(base.ServerFailed("502"), step=3, attempt=2)
    assert isinstance(answer, Retry)
    assert answer.step == 3
    assert answer.at == NOW + 1.0  # half of 1 s doubled once


def test_an_agents_own_exception_is_retried() -> None:
    assert isinstance(ending(base.AgentFailed("KeyError")), Retry)


def test_the_last_attempt_buries() -> None:
    answer = ending(base.ServerFailed("502"), step=3, attempt=5, attempts=5)
    assert answer == Bury(error=base.ServerFailed("502").facts(), step=3, uses_attempt=True)


@pytest.mark.parametrize(
    "error",
    [
        base.ContextTooLong("too long"),
        base.ContentFiltered("filtered"),
        base.Refused("no"),
        base.InvalidOutput("not JSON"),
        base.InvalidRequest("what?"),
        base.ModelNotFound("no such model"),
        base.InvalidResult("a set"),
    ],
)
def test_a_permanent_error_buries_at_the_first_attempt(error: PerdureError) -> None:
    answer = ending(error)
    assert isinstance(answer, Bury)
    assert answer.uses_attempt


@pytest.mark.parametrize("what", ["steps", "tokens", "time"])
def test_a_runs_own_limit_buries_under_its_name(what: str) -> None:
    answer = ending(base.RunLimit(what, "enough"))
    assert isinstance(answer, Bury)
    assert answer.error.code == f"limit-{what}"
    assert answer.uses_attempt


def test_a_passed_deadline_buries_without_using_an_attempt() -> None:
    answer = ending(base.DeadlinePassed("too late"))
    assert isinstance(answer, Bury)
    assert not answer.uses_attempt


def test_a_provider_that_names_a_later_moment_is_believed() -> None:
    answer = ending(base.Overloaded("busy", retry_at=NOW + 90))
    assert isinstance(answer, Retry)
    assert answer.at == NOW + 90


def test_a_provider_that_names_an_earlier_moment_does_not_shorten_the_backoff() -> None:
    answer = ending(base.Overloaded("busy", retry_at=NOW + 0.1), attempt=4)
    assert isinstance(answer, Retry)
    assert answer.at == NOW + 4.0


@pytest.mark.parametrize(("error", "why"), [(base.RateLimited, "rate-limit"), (base.CircuitOpen, "circuit-open")])
def test_a_limit_waits_until_its_moment_even_at_the_last_attempt(error: type[PerdureError], why: str) -> None:
    answer = ending(error("slow down", retry_at=NOW + 3600), attempt=5, attempts=5, step=2)
    assert isinstance(answer, Park)
    assert (answer.wait.why, answer.wait.step, answer.wait.open_ended) == (why, 2, False)
    assert answer.wait.until is not None
    assert NOW + 3600 <= answer.wait.until <= NOW + 3601


@given(dice=st.floats(0, 1, exclude_max=True))
def test_a_limit_without_a_moment_waits_a_short_random_while(dice: float) -> None:
    answer = ending(base.RateLimited("slow down"), dice=dice)
    assert isinstance(answer, Park)
    assert answer.wait.until is not None
    assert NOW + 1 <= answer.wait.until <= NOW + 15


@pytest.mark.parametrize("error", [base.AuthenticationFailed, base.PermissionRefused, base.BillingRefused])
@pytest.mark.parametrize(
    ("waited_s", "next_s"), [(None, 60), (0, 60), (59, 60), (60, 300), (359, 300), (360, 900), (1260, 3600), (5 * DAY, 3600)]
)
def test_an_account_error_waits_in_growing_steps(error: type[PerdureError], waited_s: float | None, next_s: float) -> None:
    since = None if waited_s is None else NOW - waited_s
    answer = ending(error("ask a person"), attempt=5, attempts=5, waiting_since=since)
    assert isinstance(answer, Park)
    assert (answer.wait.why, answer.wait.until, answer.wait.open_ended) == ("account", NOW + next_s, True)
    assert answer.wait.error is not None


def test_an_account_that_is_good_again_at_a_named_moment_waits_until_then_however_long() -> None:
    month = NOW + 31 * DAY
    for since in (None, NOW - 8 * DAY):
        answer = ending(base.BillingRefused("the month's cap", retry_at=month), attempt=5, attempts=5, waiting_since=since)
        assert isinstance(answer, Park)
        assert (answer.wait.why, answer.wait.open_ended) == ("account", False)
        assert answer.wait.until is not None
        assert month <= answer.wait.until <= month + 1


def test_the_last_step_of_an_account_wait_ends_with_max_wait_s() -> None:
    answer = ending(base.BillingRefused("pay"), waiting_since=NOW - 7 * DAY + 10)
    assert isinstance(answer, Park)
    assert answer.wait.until == NOW + 10


def test_an_account_error_that_nobody_mended_buries_with_that_error_and_no_attempt() -> None:
    answer = ending(base.BillingRefused("pay"), waiting_since=NOW - 7 * DAY)
    assert isinstance(answer, Bury)
    assert (answer.error.code, answer.uses_attempt) == ("provider-billing", False)


def test_an_unknown_outcome_waits_for_a_person() -> None:
    answer = ending(base.OutcomeUnknown("did it happen?"), step=4)
    assert isinstance(answer, Park)
    assert (answer.wait.why, answer.wait.until, answer.wait.step) == ("outcome-unknown", None, 4)


@pytest.mark.parametrize("error", [base.LeaseLost("gone"), base.StoreBusy("locked"), base.StoreFull("full")])
def test_trouble_that_is_ours_releases_without_an_attempt(error: PerdureError) -> None:
    assert isinstance(ending(error, attempt=5, attempts=5), Release)


@given(category=st.sampled_from(Category), retryable=st.booleans(), attempt=st.integers(1, 5), dice=st.floats(0, 1, exclude_max=True))
def test_every_error_has_exactly_one_fate(category: Category, retryable: bool, attempt: int, dice: float) -> None:
    facts = ErrorFacts(code="x", category=category, message="m", retryable=retryable)
    answer = ending(facts, attempt=attempt, attempts=5, dice=dice)
    assert isinstance(answer, Retry | Bury | Park | Release)
    if isinstance(answer, Retry):
        assert attempt < 5
        assert retryable


@given(attempt=st.integers(1, 10_000), dice=st.floats(0, 1, exclude_max=True))
def test_backoff_lies_between_nothing_and_the_cap(attempt: int, dice: float) -> None:
    assert 0 <= backoff_s(attempt, dice, Backoff(base_s=2, cap_s=60)) <= 60


def test_backoff_doubles_and_uses_all_of_its_range() -> None:
    longest = [backoff_s(attempt, 1.0, Backoff(base_s=1, cap_s=10)) for attempt in range(1, 7)]
    assert longest == [1, 2, 4, 8, 10, 10]
    assert backoff_s(5, 0.0, Backoff()) == 0


def test_a_failure_is_no_wait() -> None:
    assert wait_of(base.ServerFailed("502").facts(), lease=lease(), step=None, now=NOW, dice=0.5) is None


@pytest.mark.parametrize(
    ("error", "closes"),
    [
        (base.RateLimited("m"), True),
        (base.RateLimited("m", scope=Scope.REQUEST), False),
        (base.BillingRefused("m"), True),
        (base.CircuitOpen("m"), True),
        (base.ServerFailed("m"), False),
        (base.AgentFailed("m"), False),
    ],
)
def test_only_limits_beyond_the_request_close_a_lane(error: PerdureError, closes: bool) -> None:
    assert closes_lane(error.facts()) is closes


def test_a_lane_closed_without_a_moment_opens_soon_for_a_limit_and_later_for_an_account() -> None:
    assert unsaid_until(base.RateLimited("m").facts(), now=NOW) == NOW + 5
    assert unsaid_until(base.BillingRefused("m").facts(), now=NOW) == NOW + 60
