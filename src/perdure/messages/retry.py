"""What an error does to the message whose run it ended: SEMANTICS 3, row by row.

Theory of operation: nothing here waits, asks the time or throws dice; `fate` is given all three and
returns one of four endings, which the worker then asks the store for. The order of the questions is the
rule: what is no failure of the message at all (storage, a lost lease) comes first, then what only has to
wait, then what can never work, and only the rest is a failed attempt.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TypeAlias

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Category, ErrorFacts, Scope
from perdure.errors.recovery import ACCOUNT, DOWN, LIMITED, OURS, PASSING_S
from perdure.messages.message import Lease, Wait

__all__ = [
    "Backoff",
    "Bury",
    "Ending",
    "Park",
    "Release",
    "Retry",
    "backoff_s",
    "closes_lane",
    "counts_in_circuit",
    "fate",
    "for_newer",
    "slows_lane",
    "unsaid_until",
    "wait_of",
]

ACCOUNT_STEPS_S = (60.0, 300.0, 900.0, 3600.0)
"""How long a message waits for a person to mend an account; the last one again and again."""
UNSAID_WAIT_S = 15.0
"""A rate limit without a moment waits up to this long."""
_SPREAD_S = 1.0  # after a moment many may wait for, so that not all come at once


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How far attempts lie apart: a random moment within `base_s`, 2, 4, 8 ... times that, `cap_s` at most."""

    base_s: float = 1.0
    cap_s: float = 300.0


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt is used up; the next one begins at a moment."""

    error: ErrorFacts
    at: Moment
    step: int | None = None


class Bury(msgspec.Struct, frozen=True, kw_only=True):
    """Given up."""

    error: ErrorFacts
    step: int | None = None
    uses_attempt: bool = True


class Park(msgspec.Struct, frozen=True, kw_only=True):
    """It waits without a worker; no attempt is used."""

    wait: Wait


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """It was not the message's fault: ready again, no attempt used."""

    error: ErrorFacts | None = None


Ending: TypeAlias = Retry | Bury | Park | Release


def fate(error: ErrorFacts, *, lease: Lease, step: int | None, now: Moment, dice: float, backoff: Backoff | None = None) -> Ending:
    """Decide what becomes of a message whose run ended with an error.

    Args:
        error (ErrorFacts): What ended it.
        lease (Lease): The message, the attempt under way, and since when it has waited for a person.
        step (int | None): The recorded step whose failure it was.
        now (Moment): The store's time.
        dice (float): A random number in [0, 1).
        backoff (Backoff | None): How far attempts lie apart; None for the defaults.

    Returns:
        Ending: What to ask the store for.
    """
    if error.category in OURS:
        return Release(error=error)
    if error.category is Category.DEADLINE:
        return Bury(error=error, step=step, uses_attempt=False)
    wait = wait_of(error, lease=lease, step=step, now=now, dice=dice)
    if wait is not None:
        return Park(wait=wait) if _may_wait(wait, lease, now) else Bury(error=error, step=step, uses_attempt=False)
    if not error.retryable or lease.attempt >= lease.message.attempts:
        return Bury(error=error, step=step)
    at = now + backoff_s(lease.attempt, dice, backoff or Backoff())
    return Retry(error=error, at=max(at, error.retry_at or at), step=step)


def wait_of(error: ErrorFacts, *, lease: Lease, step: int | None, now: Moment, dice: float) -> Wait | None:
    """Say how long an error has a message wait, if waiting is what it asks for.

    Args:
        error (ErrorFacts): What stands in the way.
        lease (Lease): The message, and since when it has waited for a person.
        step (int | None): The step that waits.
        now (Moment): The store's time.
        dice (float): A random number in [0, 1).

    Returns:
        Wait | None: For a rate limit, an open circuit, an account that needs a person and an unknown
        outcome; None for every other error, which is a failure.
    """
    if error.category is Category.OUTCOME_UNKNOWN:
        return Wait(why="outcome-unknown", step=step, error=error)
    if error.category in ACCOUNT:
        named = error.retry_at is not None and error.retry_at > now  # "until the first of the month" needs nobody to act
        until = max(error.retry_at or now, now) + dice * _SPREAD_S if named else _account_until(lease, now)
        return Wait(why="account", until=until, step=step, open_ended=not named, error=error)
    if error.category not in LIMITED:
        return None
    until = now + 1.0 + dice * (UNSAID_WAIT_S - 1.0) if error.retry_at is None else max(error.retry_at, now) + dice * _SPREAD_S
    return Wait(why=error.category.value, until=until, step=step, error=error)


def for_newer(format: int, *, now: Moment, dice: float) -> Wait:
    """Say how long a run waits whose journal this version cannot read, so that a newer worker finds it.

    Args:
        format (int): Of its newest step.
        now (Moment): The store's time.
        dice (float): A random number in [0, 1).

    Returns:
        Wait: A short one, again and again; `max_wait_s` counts over all of them.
    """
    error = ErrorFacts(
        code="journal-newer",
        category=Category.CONFIG,
        message=f"the run's journal has format {format}, which this worker does not know",
        hint="Start workers of the version that wrote it.",
        retryable=True,
    )
    return Wait(why="newer-journal", until=now + UNSAID_WAIT_S * (1 + dice) / 2, open_ended=True, error=error)


def backoff_s(attempt: int, dice: float, backoff: Backoff) -> float:
    """Tell how long to wait after a failed attempt: exponential, with full jitter.

    Args:
        attempt (int): The attempt that failed, from 1.
        dice (float): A random number in [0, 1).
        backoff (Backoff): How far attempts lie apart.

    Returns:
        float: Seconds, from 0 to `cap_s`.
    """
    doublings = min(attempt - 1, 60)  # a float holds no more, and every cap is reached long before
    return dice * min(backoff.cap_s, backoff.base_s * 2.0**doublings)


def closes_lane(error: ErrorFacts) -> bool:
    """Tell whether an error stands against every message of its lane, and not only against this one.

    Args:
        error (ErrorFacts): What a call met.

    Returns:
        bool: True for limits and account errors that reach beyond the request.
    """
    return error.scope is not Scope.REQUEST and (error.category in LIMITED or error.category in ACCOUNT)


def slows_lane(error: ErrorFacts, *, now: Moment) -> bool:
    """Tell whether an error says *slower* of a model, and not *nothing until then*.

    Args:
        error (ErrorFacts): What a call met.
        now (Moment): The store's time.

    Returns:
        bool: True for a rate limit of one model whose moment is near: rates are by the second or the minute. What is further off is
        a quota, and what reaches beyond the model is no rate of its calls.
    """
    near = error.retry_at is None or error.retry_at - now <= PASSING_S
    return error.category is Category.RATE_LIMIT and error.scope is Scope.MODEL and near


def counts_in_circuit(error: ErrorFacts) -> bool:
    """Tell whether an error speaks against the health of its lane; several in a row open the lane's circuit.

    Args:
        error (ErrorFacts): What a call met.

    Returns:
        bool: True where the other side did not answer, or not to the end; False for what it answered.
    """
    return error.category in DOWN


def unsaid_until(error: ErrorFacts, *, now: Moment) -> Moment:
    """Say until when a lane stays closed by an error that names no moment.

    Args:
        error (ErrorFacts): What a call met.
        now (Moment): The store's time.

    Returns:
        Moment: The first of the account's steps, or a short while for a limit.
    """
    return now + (ACCOUNT_STEPS_S[0] if error.category in ACCOUNT else UNSAID_WAIT_S / 3)


def _account_until(lease: Lease, now: Moment) -> Moment:
    since = now if lease.waiting_since is None else lease.waiting_since
    waited = now - since
    step_s = next(
        (step for step, reached in zip(ACCOUNT_STEPS_S, accumulate(ACCOUNT_STEPS_S), strict=True) if waited < reached), ACCOUNT_STEPS_S[-1]
    )
    return min(now + step_s, max(since + lease.message.max_wait_s, now))


def _may_wait(wait: Wait, lease: Lease, now: Moment) -> bool:
    if not wait.open_ended or lease.waiting_since is None:
        return True
    return now - lease.waiting_since < lease.message.max_wait_s
