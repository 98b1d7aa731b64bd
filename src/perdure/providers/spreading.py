"""When the next calls of a lane may start, by its rates.

Theory of operation. Two things are asked, and the later answer counts. The *pace* spreads starts evenly: each takes its
share of time from the next (a virtual clock for requests and one for tokens), so that a limit of 600 a minute is also one of
ten a second, as providers have it. The *window* makes the limit exact: a start is granted only if with it no more than the
limit lies in the minute before it. True usage moves both: what was reserved and not used is free again at once.

Speed grows gently: after a pause, a refusal or an outage it begins at a part of the full one. How long a start takes is then
the integral of a ramp, so that slow lanes do not pay for it with minutes.
"""

from __future__ import annotations

import math

from perdure.clock import Moment
from perdure.providers.book import SLACK_S, SLOT_S, Book
from perdure.providers.lanes import Need

__all__ = ["advance", "correct", "earliest", "slow_down"]

_TINY_S = 0.1
"""So much of a delay is made good at once: bursts stay below a tenth of a second's worth."""
_IDLE_SHARE, _IDLE_CALLS = 0.1, 2.0
"""After a pause at this part of full speed, but not slower than so many calls a second: there a ramp has nothing to spare anybody."""
_NEWEST, _LEAST_SHARE, _MOST_SHARE = 0.1, 0.05, 2.0
_REFUSED_SHARE = 0.25
"""After a refusal or an outage."""


def earliest(book: Book, need: Need, now: Moment) -> Moment:
    """Find out when something may start.

    Args:
        book (Book): Of the lane, tidy.
        need (Need): What is to start.
        now (Moment): The store's time.

    Returns:
        Moment: Now, or later.
    """
    limits = book.limits
    at = max(now, book.not_before, book.last_at)
    if limits.requests_a_second is not None:
        at = max(at, book.requests_at - _TINY_S)
    if limits.tokens_a_second is not None:
        at = max(at, book.tokens_at - _TINY_S)
    at = book.tokens_left.starts_at(need.tokens * book.used_share, book.requests_left.starts_at(need.requests, at))
    return _within_window(book, need, at)


def advance(book: Book, need: Need, at: Moment) -> None:
    """Note that something starts.

    Args:
        book (Book): Of the lane.
        need (Need): What starts.
        at (Moment): When.
    """
    if at - book.last_at > book.limits.minute_s:
        book.gentle_at, book.gentle_share = at, _share_after_pause(book, need)
    requests_s, tokens_s = _spans(book, need)
    book.requests_at = max(book.requests_at, at) + _stretched(book, at, requests_s)
    book.tokens_at = max(book.tokens_at, at) + _stretched(book, at, tokens_s)
    book.last_at = max(book.last_at, at)
    book.requests_left.count -= need.requests
    book.tokens_left.count -= need.tokens * book.used_share


def correct(book: Book, tokens: int, *, reserved: int, used: int) -> None:
    """Let the pace know what came of tokens that it has counted as they are used as a rule.

    Args:
        book (Book): Of the lane.
        tokens (int): So many more are reserved; negative for less.
        reserved (int): What was reserved for calls that are over.
        used (int): What they used.
    """
    share = book.used_share
    if book.limits.tokens_a_second is not None:
        book.tokens_at += ((tokens - reserved) * share + used) / book.limits.tokens_a_second * _longer(book)
    if reserved > 0:
        book.used_share = max(_LEAST_SHARE, min(_MOST_SHARE, share + (used / reserved - share) * _NEWEST))


def slow_down(book: Book, until: Moment) -> None:
    """Let nothing start before a moment, and then begin gently.

    Args:
        book (Book): Of the lane.
        until (Moment): When to begin again.
    """
    book.not_before = max(book.not_before, until)
    book.gentle_at, book.gentle_share = book.not_before, _REFUSED_SHARE


def _within_window(book: Book, need: Need, at: Moment) -> Moment:
    limits = book.limits
    if limits.rpm is None and limits.tpm is None:
        return at
    requests = sum(entry.requests for entry in book.entries)
    tokens = sum(entry.tokens for entry in book.entries)
    most_requests = math.inf if limits.rpm is None else max(limits.rpm, need.requests)
    most_tokens = math.inf if limits.tpm is None else max(limits.tpm, need.tokens)  # one too large for any minute gets one for itself
    for entry in book.entries:
        ends_at = book.ends_at(entry)
        if ends_at > at and requests + need.requests <= most_requests and tokens + need.tokens <= most_tokens:
            break
        at = max(at, ends_at)
        requests, tokens = requests - entry.requests, tokens - entry.tokens
    return at


def _spans(book: Book, need: Need) -> tuple[float, float]:
    """How much of the time at full speed something takes, by requests and by tokens."""
    limits = book.limits
    requests, tokens = limits.requests_a_second, limits.tokens_a_second
    longer = 1.0 if limits.rps is not None else _longer(book)
    return (
        0.0 if requests is None else need.requests / requests * longer,
        0.0 if tokens is None else min(need.tokens * book.used_share, limits.tpm or 0.0) / tokens * _longer(book),
    )


def _longer(book: Book) -> float:
    """What counts for a little longer than a minute is spread over as long: else the end of each minute would stand still."""
    return 1.0 + (SLACK_S + SLOT_S / 2) / book.limits.minute_s


def _share_after_pause(book: Book, need: Need) -> float:
    a_call_s = max(_spans(book, need)) / max(1, need.requests)
    return min(1.0, max(_IDLE_SHARE, _IDLE_CALLS * a_call_s))


def _stretched(book: Book, at: Moment, span_s: float) -> float:
    """How long something takes that takes `span_s` at full speed."""
    ramp_s = book.gentle_at + book.limits.gentle_s - at
    if ramp_s <= 0 or book.gentle_share >= 1.0 or not span_s:
        return span_s
    share = 1.0 - (1.0 - book.gentle_share) * min(1.0, ramp_s / book.limits.gentle_s)
    in_ramp_s = ramp_s * (share + 1.0) / 2
    if span_s >= in_ramp_s:
        return ramp_s + span_s - in_ramp_s
    slope = (1.0 - share) / ramp_s
    return (math.sqrt(share * share + 2 * slope * span_s) - share) / slope
