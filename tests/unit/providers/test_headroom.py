from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from perdure.providers.errors import Whence
from perdure.providers.headroom import Headroom, headroom_in
from perdure.providers.reading import as_answer

NOW = 1_790_000_000.0


def test_what_is_left_comes_back_evenly_where_the_whole_is_named() -> None:
    headers = {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "40",
        "x-ratelimit-reset-requests": "30s",
        "x-ratelimit-remaining-tokens": "9000",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert headroom_in(headers, NOW) == Headroom(
        requests=40, requests_for_s=30.0, requests_a_second=2.0, requests_limit=100, tokens=9000, tokens_for_s=360.0, tokens_a_second=0.0
    )


def test_a_moment_is_as_good_as_a_span() -> None:
    until = (datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=20)).isoformat()
    headers = {"anthropic-ratelimit-requests-remaining": "3", "anthropic-ratelimit-requests-reset": until}
    assert headroom_in(headers, NOW) == Headroom(requests=3, requests_for_s=20.0)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-remaining-requests": "40"},
        {"x-ratelimit-remaining-requests": "many", "x-ratelimit-reset-requests": "30s"},
        {"x-ratelimit-remaining-requests": "40", "x-ratelimit-reset-requests": "soon"},
        {"x-ratelimit-remaining-requests": "40", "x-ratelimit-reset-requests": "0s"},
        {"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "30s"},
    ],
)
def test_headers_that_do_not_say_it_say_nothing(headers: dict[str, str]) -> None:
    assert headroom_in(headers, NOW) is None


def test_an_answer_brings_what_is_left() -> None:
    body = {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
    headers = {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "20s"}
    assert as_answer(body, Whence(provider="up", headers=headers)).headroom == Headroom(requests=3, requests_for_s=20.0)
    assert as_answer(body, Whence(provider="up")).headroom is None
