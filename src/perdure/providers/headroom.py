"""What a provider says is left of its limits, in the headers of an answer: an upper bound to what is sent next.

`remaining` is what is left now and `reset` when all of it will be there again. Where the whole (`limit`) is named too, what
is missing is taken to come back evenly until then, as token buckets do; else nothing does before the moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.providers.retry_after import reset_s

__all__ = ["Headroom", "headroom_in"]


class Headroom(msgspec.Struct, frozen=True, kw_only=True):
    """What is left, for how long, and how fast more comes."""

    requests: int | None = None
    requests_for_s: float = 0.0
    requests_a_second: float = 0.0
    requests_limit: int | None = None
    """The whole, where it is said."""
    tokens: int | None = None
    tokens_for_s: float = 0.0
    tokens_a_second: float = 0.0
    tokens_limit: int | None = None


class _Left(NamedTuple):
    left: int
    for_s: float
    a_second: float
    limit: int | None = None


_NONE = _Left(0, 0.0, 0.0)
_FAMILIES = (
    ("x-ratelimit-remaining-{}", "x-ratelimit-reset-{}", "x-ratelimit-limit-{}"),
    ("anthropic-ratelimit-{}-remaining", "anthropic-ratelimit-{}-reset", "anthropic-ratelimit-{}-limit"),
)
_HEADERS = {kind: tuple(tuple(name.format(kind) for name in family) for family in _FAMILIES) for kind in ("requests", "tokens")}


def headroom_in(headers: Mapping[str, str], now: Moment) -> Headroom | None:
    """Read what is left.

    Args:
        headers (Mapping[str, str]): The answer's, in small letters or of a mapping that does not mind.
        now (Moment): The time it came.

    Returns:
        Headroom | None: None if they say nothing of it.
    """
    requests, tokens = (_left(headers, kind, now) for kind in ("requests", "tokens"))
    if requests is None and tokens is None:
        return None
    by_requests, by_tokens = requests or _NONE, tokens or _NONE
    return Headroom(
        requests=None if requests is None else by_requests.left,
        requests_for_s=by_requests.for_s,
        requests_a_second=by_requests.a_second,
        requests_limit=by_requests.limit,
        tokens=None if tokens is None else by_tokens.left,
        tokens_for_s=by_tokens.for_s,
        tokens_a_second=by_tokens.a_second,
        tokens_limit=by_tokens.limit,
    )


def _left(headers: Mapping[str, str], kind: str, now: Moment) -> _Left | None:
    for remaining, reset, limit in _HEADERS[kind]:
        count = _count(headers.get(remaining))
        for_s = None if count is None else reset_s(headers.get(reset), now)
        if count is not None and for_s is not None and for_s > 0:
            whole = _count(headers.get(limit))
            return _Left(count, for_s, max(0, (whole or 0) - count) / for_s, whole)
    return None


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 16 else None
