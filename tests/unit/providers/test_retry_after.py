"""When to come back is read from every header met, and from none that lies."""

from __future__ import annotations

import pytest

from perdure.providers.retry_after import retry_moment

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "2592000"}, 2592000),
        ({"retry-after": "Fri, 15 Jan 2027 08:20:00 GMT"}, 1200),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0),
        ({"retry-after": "Fri, 15 Jan 2027 09:00:30 GMT", "date": "Fri, 15 Jan 2027 09:00:00 GMT"}, 30),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}, 90),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "2s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "1h",
            },
            3600,
        ),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12"}, 12),
    ],
)
def test_a_wait_is_read(headers: dict[str, str], wait: float) -> None:
    assert retry_moment(headers, NOW) == pytest.approx(NOW + wait)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"retry-after": ""},
        {"retry-after": "soon"},
        {"retry-after": "-5"},
        {"retry-after": "nan"},
        {"retry-after": "inf"},
        {"retry-after": "1e300"},
        {"retry-after": "Fri, 99 Jan 2027 08:20:00 GMT"},
        {"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1m"},
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "later"},
    ],
)
def test_what_says_nothing_gives_no_moment(headers: dict[str, str]) -> None:
    assert retry_moment(headers, NOW) is None
