"""Why a store gives a message up by itself, and how it counts crashes."""

import pytest

from perdure.errors.base import Category, ErrorFacts
from perdure.messages.dead import (
    POISON_AT,
    QUARANTINE_AT,
    after_decision,
    count_crash,
    deadline_passed,
    poison,
    waited_too_long,
    worker_died,
)
from perdure.messages.message import Message, MessageId, Wait, WorkerId

NO_CREDIT = ErrorFacts(code="provider-billing", category=Category.BILLING, message="no credit left")
MESSAGE = Message(
    id=MessageId(1), agent="mail", body=b"1", queue="q", tenant="t", priority=5, attempts=5, created_at=0.0, max_wait_s=90.0, deadline=60.0
)


@pytest.mark.parametrize(
    ("results", "counts"),
    [
        ([0, 0, 0], [1, 2, 3]),
        ([1, 1, 1], [0, 1, 2]),
        ([1, 2, 3], [0, 0, 0]),
        ([0, 0, 1, 1, 1], [1, 2, 0, 1, 2]),
        ([3, 3, 4], [0, 1, 0]),
    ],
)
def test_a_crash_counts_only_without_a_new_result_since_the_one_before(results: list[int], counts: list[int]) -> None:
    crashes, before, seen = 0, 0, []
    for now in results:
        crashes = count_crash(crashes, results_before=before, results_now=now)
        before = now
        seen.append(crashes)
    assert seen == counts


def test_quarantine_comes_before_poison() -> None:
    assert 1 < QUARANTINE_AT < POISON_AT


def test_a_lost_worker_is_named() -> None:
    facts = worker_died(WorkerId(42))
    assert (facts.code, facts.retryable) == ("worker-died", True)
    assert "42" in facts.message


def test_every_reason_says_what_to_do() -> None:
    reasons = [
        worker_died(WorkerId(1)),
        poison(3),
        deadline_passed(60.0),
        waited_too_long(MESSAGE.max_wait_s, wait=None, blocked_by="queue-paused"),
    ]
    assert [facts.code for facts in reasons] == ["worker-died", "poison", "deadline-passed", "waited-too-long"]
    assert all(facts.hint for facts in reasons)


def test_a_deadline_is_told_as_people_write_it() -> None:
    assert "1970-01-01T00:01:00.000Z" in deadline_passed(60.0).message


def test_a_wait_for_an_account_ends_with_the_accounts_own_error() -> None:
    wait = Wait(why="account", until=5.0, open_ended=True, error=NO_CREDIT)
    assert waited_too_long(MESSAGE.max_wait_s, wait=wait, blocked_by=None) == NO_CREDIT


def test_any_other_wait_says_how_long_and_for_what() -> None:
    facts = waited_too_long(MESSAGE.max_wait_s, wait=Wait(why="outcome-unknown", step=2, error=NO_CREDIT), blocked_by=None)
    assert facts.code == "waited-too-long"
    assert "90 s (outcome-unknown)" in facts.message
    assert facts.causes == ["provider-billing: no credit left"]


def test_a_blocked_route_is_named() -> None:
    assert "(no-worker)" in waited_too_long(MESSAGE.max_wait_s, wait=None, blocked_by="no-worker").message


def test_a_decision_to_give_up_keeps_the_error_it_waited_with() -> None:
    assert after_decision(3, Wait(why="outcome-unknown", step=3, error=NO_CREDIT)) == NO_CREDIT
    assert after_decision(3, Wait(why="outcome-unknown", step=3)).code == "outcome-unknown"
    assert after_decision(3, None).code == "outcome-unknown"
