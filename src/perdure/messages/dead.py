"""Why a store itself gives a message up, and how it counts crashes: rules, the same on every engine.

Nothing here reads a clock or writes anything. A store asks these functions what to write when nobody
holds the message: its deadline passed, a wait took too long, or its worker died once too often.
"""

from __future__ import annotations

from perdure.clock import Moment, iso
from perdure.errors.base import Category, Conflict, DeadlinePassed, ErrorFacts, OutcomeUnknown, Poison, WaitedTooLong
from perdure.messages.ids import write
from perdure.messages.message import MessageId, Wait, WorkerId

QUARANTINE_AT = 2
"""Crashes without progress after which a message runs alone."""
POISON_AT = 3
"""Crashes without progress after which it is a dead letter."""

__all__ = [
    "POISON_AT",
    "QUARANTINE_AT",
    "after_decision",
    "beyond_revival",
    "count_crash",
    "deadline_passed",
    "poison",
    "waited_too_long",
    "worker_died",
]


def count_crash(crashes: int, *, results_before: int, results_now: int) -> int:
    """Count one more crash, unless the run got further since the one before.

    Args:
        crashes (int): Those counted so far.
        results_before (int): Recorded steps at the crash before.
        results_now (int): Recorded steps now.

    Returns:
        int: 0 where the journal gained a result since, which makes this crash no sign against the run; else
        one more than so far.
    """
    return 0 if results_now > results_before else crashes + 1


def worker_died(worker: WorkerId) -> ErrorFacts:
    """Say for the log of attempts that the worker was lost.

    Args:
        worker (WorkerId): Which.

    Returns:
        ErrorFacts: With the code `worker-died`.
    """
    return ErrorFacts(
        code="worker-died",
        category=Category.POISON,
        message=f"worker {worker} died while it worked on this message",
        hint="Its log says why. Recorded steps are not made again.",
        retryable=True,
    )


def poison(crashes: int) -> ErrorFacts:
    """Say why a message is not tried again after its crashes.

    Args:
        crashes (int): How often it crashed without getting any further.

    Returns:
        ErrorFacts: With the code `poison`.
    """
    return Poison(
        f"its worker died {crashes} times while it worked on this message, without a new result in the journal",
        hint="Look for memory use or native code in the step after the last recorded one; then revive it.",
    ).facts()


def deadline_passed(deadline: Moment | None) -> ErrorFacts:
    """Say that a message was not done in time.

    Args:
        deadline (Moment | None): The message's own.

    Returns:
        ErrorFacts: With the code `deadline-passed`.
    """
    return DeadlinePassed(f"its deadline {iso(deadline)} passed before it was done", hint="Put it again with a later deadline.").facts()


def beyond_revival(id: MessageId, deadline: Moment | None, now: Moment) -> Conflict | None:
    """Say why a dead letter cannot live again: it would be buried at the next look.

    Args:
        id (MessageId): Which.
        deadline (Moment | None): Its own.
        now (Moment): The store's time.

    Returns:
        Conflict | None: None if nothing stands against it.
    """
    if deadline is None or deadline > now:
        return None
    return Conflict(f"message {write(id)!r} cannot be revived: its deadline has passed", hint="Put it again with a later one.")


def waited_too_long(max_wait_s: float, *, wait: Wait | None, blocked_by: str | None) -> ErrorFacts:
    """Say why a wait without a stated end was ended.

    Args:
        max_wait_s (float): How long it would have waited.
        wait (Wait | None): For what, if it was parked.
        blocked_by (str | None): What stood against its route, if it was ready.

    Returns:
        ErrorFacts: The account's own error where it waited for an account, else `waited-too-long`.
    """
    if wait is not None and wait.open_ended and wait.error is not None:
        return wait.error
    reason = blocked_by if wait is None else wait.why
    causes = [] if wait is None or wait.error is None else [f"{wait.error.code}: {wait.error.message}"]
    facts = WaitedTooLong(
        f"it waited longer than {max_wait_s:g} s ({reason})",
        hint="Remove the cause, then revive it; or put it with a larger `max_wait_s`.",
    ).facts()
    return ErrorFacts(code=facts.code, category=facts.category, message=facts.message, hint=facts.hint, causes=causes)


def after_decision(step: int, wait: Wait | None) -> ErrorFacts:
    """Say why a message was buried by a person who could not know a call's outcome either.

    Args:
        step (int): The step in question.
        wait (Wait | None): As which the message waited.

    Returns:
        ErrorFacts: The error it waited with, else `outcome-unknown`.
    """
    if wait is not None and wait.error is not None:
        return wait.error
    return OutcomeUnknown(f"whether step {step} happened is unknown; it was decided to give the message up").facts()
