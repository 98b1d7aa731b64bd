"""An unknown count stays unknown."""

from __future__ import annotations

from perdure.resources.usage import Usage
from perdure.wire.usage import usage_body, usage_of

FULL = {
    "prompt_tokens": 5,
    "completion_tokens": 7,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


def test_all_counts_are_read_and_written() -> None:
    usage = usage_of(FULL)
    assert usage == Usage(calls=1, input_tokens=5, output_tokens=7, cached_tokens=2, reasoning_tokens=3)
    assert usage_body(usage) == FULL


def test_what_is_missing_or_nonsense_is_unknown() -> None:
    assert usage_of(None) == Usage(calls=1)
    assert usage_of({"prompt_tokens": "5", "completion_tokens": True, "prompt_tokens_details": None}) == Usage(calls=1)
    assert usage_of({"prompt_tokens": -1}) == Usage(calls=1)


def test_nothing_known_is_not_written_as_zero() -> None:
    assert usage_body(Usage(calls=1)) is None
