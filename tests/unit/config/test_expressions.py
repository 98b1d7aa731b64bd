"""An expression that somebody writes can neither stop a worker nor do more than look."""

from __future__ import annotations

import time

import pytest

from perdure.config.expressions import LONGEST, SafeExpression


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(\w+\s?)*!$", r"(a|aa)+$", ".*a.*a.*a.*a.*b", "(x+x+)+y"])
def test_what_would_take_python_years_takes_no_time(pattern: str) -> None:
    began = time.process_time()
    assert not SafeExpression(pattern).search("a" * 20_000 + "?")
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("pattern", ["", "(", r"(a)\1", "(?=x)y", "(?<!x)y", "x{1000}{1000}", "a" * (LONGEST + 1)])
def test_what_is_none_or_cannot_be_done_safely_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be used|characters"):
        SafeExpression(pattern)


def test_case_does_not_matter_and_a_whole_one_fits_from_end_to_end() -> None:
    assert SafeExpression("quota").search("Your QUOTA is used up")
    assert SafeExpression("busy|late", whole=True).search("Busy")
    assert not SafeExpression("busy|late", whole=True).search("too late")
    assert repr(SafeExpression("x")) == "SafeExpression('x')"
