"""When to come back is read from every header met, and from none that lies."""

from __future__ import annotations

import pytest

from perdure.providers.retry_after import moment_in, next_month, retry_moment

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
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000060000"}, 60),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000060"}, 60),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "60"}, 60),
        ({"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2027-01-15T08:01:00Z"}, 60),
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


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("Rate limit reached. Please try again in 1.304s. Visit …", 1.304),
        ("please try again in 20ms", 0.02),
        ("Please try again in 6m0s.", 360),
        ("Please retry in 34.5s", 34.5),
        ("Please try again in 7 seconds", 7),
        ("Retry after 90 seconds.", 90),
        ("You will regain access on 2027-02-01 at 00:00 UTC.", 17 * 86400 - 8 * 3600),
        ("Your limit resets at 2027-01-15T09:30:00Z", 5400),
        ("You will regain access on 2026-12-01 at 00:00 UTC.", 0),
    ],
)
def test_a_moment_is_read_from_words(text: str, wait: float) -> None:
    assert moment_in(text, NOW) == pytest.approx(NOW + wait)


@pytest.mark.parametrize(
    "text",
    ["", "Please try again later.", "try again in a while", "retry in 9x", "regain access on 2027-13-45", "regain access on 9999-01-01"],
)
def test_words_without_a_moment_give_none(text: str) -> None:
    assert moment_in(text, NOW) is None


@pytest.mark.parametrize(("now", "then"), [(NOW, 1801440000.0), (1_797_000_000.0, 1798761600.0)])
def test_the_next_month_begins_at_midnight_utc(now: float, then: float) -> None:
    assert next_month(now) == then
