"""When a provider wants to be asked again, as its headers or its words say it. No cap: an hour is an hour."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from perdure.clock import Moment

__all__ = ["moment_in", "next_month", "reset_s", "retry_moment"]

_SENSE_S = 10 * 365 * 24 * 3600.0  # what lies later than ten years is a broken header, not a wish
_EPOCH_S, _EPOCH_MS = 1e9, 1e12  # a number from here on is no span but a moment
_SPAN = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,9}(?:\.\d{1,12})?)s)?(?:(\d{1,9}(?:\.\d{1,12})?)ms)?\Z")
_AGAIN = r"\b(?:regain access|try again|retry|resets?|available again)"
_IN = re.compile(_AGAIN + r" (?:in|after) (?P<span>(?:\d[\d.]{0,20}(?:ms|[dhms]))+|\d{1,9} ?(?:milli)?seconds?)", re.IGNORECASE)
_AT = re.compile(_AGAIN + r" (?:on|at|after) (?P<day>\d{4}-\d\d-\d\d)(?:(?: at |[ T])(?P<time>\d\d:\d\d(?::\d\d)?))?", re.IGNORECASE)
_LIMITS = (
    ("x-ratelimit-remaining-{}", "x-ratelimit-reset-{}", ("requests", "tokens")),
    ("anthropic-ratelimit-{}-remaining", "anthropic-ratelimit-{}-reset", ("requests", "tokens", "input-tokens", "output-tokens")),
    ("x-ratelimit-remaining{}", "x-ratelimit-reset{}", ("",)),
    ("ratelimit-remaining{}", "ratelimit-reset{}", ("",)),
)


def retry_moment(headers: Mapping[str, str], now: Moment) -> Moment | None:
    """Read `retry-after-ms`, `Retry-After` (seconds or a date), or the reset of the limit that is used up.

    Args:
        headers (Mapping[str, str]): The answer's headers, whatever their case.
        now (Moment): The time it came.

    Returns:
        Moment | None: Not before `now`; None if no header says anything one can use.
    """
    known = {name.lower(): value.strip() for name, value in headers.items()}
    waits = (
        _number(known.get("retry-after-ms"), 0.001),
        _number(known.get("retry-after"), 1.0),
        _until_date(known, now),
        _used_up(known, now),
    )
    return next((now + max(0.0, wait) for wait in waits if wait is not None and wait <= _SENSE_S), None)


def moment_in(message: str, now: Moment) -> Moment | None:
    """Read the moment that a text names: `Please try again in 1m30s`, `You will regain access on 2026-12-01 at 00:00 UTC`.

    Args:
        message (str): What the provider says.
        now (Moment): The time it came.

    Returns:
        Moment | None: Not before `now`; None if it names none.
    """
    if found := _AT.search(message):
        until = _day(f"{found['day']}T{found['time'] or '00:00'}")
        return None if until is None or until - now > _SENSE_S else max(now, until)
    if found := _IN.search(message):
        wait = _span(found["span"]) or _spelled_out(found["span"])
        return None if wait is None else now + wait
    return None


def next_month(now: Moment) -> Moment:
    """Say when the next month begins, in UTC.

    Args:
        now (Moment): The time.

    Returns:
        Moment: Midnight of its first day.
    """
    today = datetime.fromtimestamp(now, UTC)
    year, month = (today.year + 1, 1) if today.month == 12 else (today.year, today.month + 1)
    return datetime(year, month, 1, tzinfo=UTC).timestamp()


def _number(text: str | None, unit_s: float) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value * unit_s if math.isfinite(value) and value >= 0 else None


def _until_date(headers: Mapping[str, str], now: Moment) -> float | None:
    """Counted from the provider's own `Date` where there is one, so that wrong clocks do no harm."""
    until = _date(headers.get("retry-after"))
    if until is None:
        return None
    return until - (_date(headers.get("date")) or now)


def _date(text: str | None) -> Moment | None:
    if not text:
        return None
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _used_up(headers: Mapping[str, str], now: Moment) -> float | None:
    """OpenAI's way: `x-ratelimit-remaining-tokens: 0` and `x-ratelimit-reset-tokens: 6m0s`; others name the moment."""
    for remaining, reset, kinds in _LIMITS:
        waits = [reset_s(headers.get(reset.format(kind)), now) for kind in kinds if headers.get(remaining.format(kind)) == "0"]
        longest = max((wait for wait in waits if wait is not None), default=None)
        if longest is not None:
            return longest
    return None


def reset_s(text: str | None, now: Moment) -> float | None:
    """Read when a limit is as new: a span, seconds, or a moment, as RFC 3339, or in seconds or thousandths since 1970.

    Args:
        text (str | None): Of the header.
        now (Moment): The time it came.

    Returns:
        float | None: How long that is; None if it says nothing one can use.
    """
    wait = _span(text)
    if wait is None:
        until = _day(text)
        return None if until is None else until - now
    if wait >= _EPOCH_MS:
        return wait / 1000 - now
    return wait - now if wait >= _EPOCH_S else wait


def _day(text: str | None) -> Moment | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _span(text: str | None) -> float | None:
    if not text:
        return None
    found = _SPAN.match(text)
    if not found or not any(found.groups()):
        return _number(text, 1.0)
    days, hours, minutes, seconds, thousandths = (float(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds + thousandths / 1000


def _spelled_out(text: str) -> float | None:
    number, _, unit = text.partition(" ")
    return _number(number, 0.001 if unit.startswith("milli") else 1.0)
