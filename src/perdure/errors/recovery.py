"""What happens next to a message that met an error: as data, and in words for a person.

The sets below are the rule, the only place where a category's consequence is said; `messages/retry.py` makes
moments of it, the lanes close and count by it, and `recovery` tells a reader beforehand what they will do.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from perdure.clock import Moment, iso
from perdure.errors.base import Category, ErrorFacts, Scope

__all__ = ["ACCOUNT", "DOWN", "LIMITED", "OURS", "PASSING_S", "Recovery", "Then", "recovery"]

OURS = frozenset({Category.LEASE_LOST, Category.STORAGE})
"""No failure of the message at all."""
ACCOUNT = frozenset({Category.AUTH, Category.PERMISSION, Category.BILLING})
"""A person has to act, or a moment has to come."""
LIMITED = frozenset({Category.RATE_LIMIT, Category.CIRCUIT_OPEN, Category.BUDGET})
"""Time alone cures it."""
DOWN = frozenset({Category.OVERLOADED, Category.SERVER, Category.TIMEOUT, Category.NETWORK, Category.STREAM_CUT, Category.EMPTY})
"""The other side did not answer, or not to the end: that speaks against its health."""

PASSING_S = 90.0
"""A rate limit is over by then: providers count by the second and the minute, and what they do not name is guessed with some room."""

_REACH = {
    Scope.MODEL: "this model's lane",
    Scope.KEY: "every lane of this key",
    Scope.ACCOUNT: "every lane of this account",
    Scope.ENDPOINT: "every lane of this endpoint",
}


class Then(StrEnum):
    """Where the message goes."""

    AGAIN = "again"  # ready at once: it was not its fault
    WAIT = "wait"  # without a worker, until a moment
    WAIT_FOR_PERSON = "wait-for-person"
    RETRY = "retry"  # another attempt, after a pause
    DEAD = "dead"


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What happens next."""

    then: Then
    until: Moment | None = None
    """Not before this moment, where one is known."""
    uses_attempt: bool
    closes: Scope | None = None
    """What stays closed for everybody until then, or goes slower."""
    counts_in_circuit: bool = False
    words: str
    """The same for a person."""


def recovery(error: ErrorFacts) -> Recovery:
    """Say what happens next to a message whose run ended with an error.

    Args:
        error (ErrorFacts): What it met.

    Returns:
        Recovery: By SEMANTICS 3; whether attempts are left, only the message knows.
    """
    if error.category in OURS:
        return Recovery(then=Then.AGAIN, uses_attempt=False, words="The message is ready again at once; no attempt is used.")
    if error.category is Category.OUTCOME_UNKNOWN:
        words = "The message waits until a person says whether the call happened; no attempt is used."
        return Recovery(then=Then.WAIT_FOR_PERSON, uses_attempt=False, words=words)
    if error.category in ACCOUNT or error.category in LIMITED:
        return _waits(error)
    if not error.retryable or error.category is Category.DEADLINE:
        words = "The message is a dead letter at once: the same again would change nothing."
        return Recovery(then=Then.DEAD, uses_attempt=error.category is not Category.DEADLINE, words=words)
    return _tries_again(error)


def _waits(error: ErrorFacts) -> Recovery:
    closes = None if error.scope is Scope.REQUEST else error.scope
    shut = "" if closes is None else _shut(error, _REACH[closes])
    if error.retry_at is not None:
        when = f"until {iso(error.retry_at)}"
    elif error.category in ACCOUNT:
        when = "in growing steps of a minute to an hour, until somebody has mended the account or `max_wait_s` is over"
    else:
        when = "a few seconds"
    words = f"The message waits {when}, without a worker; no attempt is used.{shut}"
    return Recovery(then=Then.WAIT, until=error.retry_at, uses_attempt=False, closes=closes, words=words)


def _shut(error: ErrorFacts, reach: str) -> str:
    if error.category is Category.RATE_LIMIT and error.scope is Scope.MODEL:
        unless = "if they are refused as well, or that is further off than a rate's minute"
        return f" For other messages {reach} goes slower; it is closed until then {unless}."
    return f" Until then {reach} is closed for all messages."


def _tries_again(error: ErrorFacts) -> Recovery:
    down = error.category in DOWN
    soonest = "" if error.retry_at is None else f", not before {iso(error.retry_at)}"
    counted = " Several of these in a row close the lane for a while." if down else ""
    words = f"The attempt is used up. While attempts are left, the next begins after a random, growing pause{soonest}.{counted}"
    return Recovery(then=Then.RETRY, until=error.retry_at, uses_attempt=True, counts_in_circuit=down, words=words)
