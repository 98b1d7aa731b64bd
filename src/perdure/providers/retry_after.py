"""When a provider wants to be asked again, as its headers say it. No cap: an hour is an hour."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from perdure.clock import Moment

__all__ = ["retry_moment"]

_SENSE_S = 10 * 365 * 24 * 3600.0  # what lies later than ten years is a broken header, not a wish
_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?\Z")


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
        _used_up(known),
    )
    return next((now + max(0.0, wait) for wait in waits if wait is not None and wait <= _SENSE_S), None)


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


def _used_up(headers: Mapping[str, str]) -> float | None:
    """OpenAI's way: `x-ratelimit-remaining-tokens: 0` and `x-ratelimit-reset-tokens: 6m0s`."""
    waits = [
        _span(headers.get(f"x-ratelimit-reset-{what}"))
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _span(text: str | None) -> float | None:
    if not text:
        return None
    found = _SPAN.match(text)
    if not found or not any(found.groups()):
        return _number(text, 1.0)
    days, hours, minutes, seconds, thousandths = (float(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds + thousandths / 1000
