"""The script of `benchmarks/resilience` deals what it says, and the books are judged as the page says."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.resilience.__main__ import judged
from benchmarks.resilience.page import write_page
from benchmarks.resilience.script import ANSWER, DOWN, PAID, SHARES, Script, answer_to

SCRIPT = Script(seed=7, messages=2000, seconds=120.0)


def test_trouble_comes_in_the_shares_that_it_says() -> None:
    dealt = Counter(SCRIPT.dealt("b", message, nth, 1.0) for message in range(5000) for nth in (1, 2, 3, 4))
    for kind, share in SHARES.items():
        assert dealt[kind] / 20_000 == pytest.approx(share, abs=0.006), kind
    assert dealt[ANSWER] / 20_000 == pytest.approx(1 - sum(SHARES.values()), abs=0.01)
    assert sum(share for kind, share in SHARES.items() if "limited" in kind) == pytest.approx(0.10)


def test_the_same_request_meets_the_same_wherever_and_whenever_it_arrives() -> None:
    again = Script(seed=7, messages=2000, seconds=120.0)
    for message in range(300):
        assert SCRIPT.dealt("a", message, 1, 5.0) == again.dealt("b", message, 1, 90.0)
    other = Script(seed=8, messages=2000, seconds=120.0)
    assert any(SCRIPT.dealt("b", n, 1, 1.0) != other.dealt("b", n, 1, 1.0) for n in range(300))


@pytest.mark.parametrize(("at", "down"), [(39.9, False), (40.0, True), (79.9, True), (80.0, False)])
def test_one_deployment_is_down_for_a_third_of_the_time(at: float, down: bool) -> None:
    assert all((SCRIPT.dealt("a", message, 1, at) == DOWN) is down for message in range(100))
    assert all(SCRIPT.dealt("b", message, 1, at) != DOWN for message in range(100))


def test_in_the_burst_most_requests_are_refused_at_both() -> None:
    for deployment in ("a", "b"):
        dealt = Counter(SCRIPT.dealt(deployment, message, 1, 97.0) for message in range(2000))
        assert 0.55 < dealt["limited, says when"] / 2000 < 0.68


def test_all_messages_are_sent_in_order_within_the_day_and_a_tenth_at_once() -> None:
    starts = [SCRIPT.starts_at(message) for message in range(SCRIPT.messages)]
    assert starts == sorted(starts)
    assert (starts[0], starts[-1] < 120.0) == (0.0, True)
    assert Counter(starts)[96.0] in {200, 201}


def test_refusals_are_not_paid_and_whatever_was_computed_is() -> None:
    assert {"time-out", "cut", "empty", ANSWER} == PAID


def test_only_the_right_text_is_done_and_what_nobody_speaks_of_is_lost() -> None:
    script = Script(seed=1, messages=4, seconds=4.0)
    ends = [
        {"message": 0, "text": answer_to(0), "ended": 1.0},
        {"message": 1, "text": "", "ended": 2.0},
        {"message": 2, "error": "APITimeoutError", "ended": 5.0},
    ]
    found = judged(ends, {"asked": 6, "paid": 5, "kinds": {}}, script)
    assert (found["done"], found["failed"], found["lost"], found["beyond"], found["paid_per_done"]) == (1, 3, 1, 1, 5.0)
    assert found["why"] == {"took an empty answer for one": 1, "APITimeoutError": 1}


def test_the_page_is_written_from_the_results(tmp_path: Path) -> None:
    rows = [
        {"name": name, "label": name.title(), "settings": "defaults"} | judged([], {"asked": 3, "paid": 2, "kinds": {}}, SCRIPT)
        for name in ("plain_a", "perdure")
    ]
    rows[1] |= {"failed": 20, "done": 1980}
    script = {"seed": 7, "messages": 2000, "seconds": 120.0, "timeout_s": 3.0}
    write_page(
        {"at": "now", "machine": {}, "versions": {}, "left_out": {}, "together": False, "script": script, "contenders": rows}, tmp_path
    )
    page = (tmp_path / "resilience.md").read_text()
    assert "99.0% fewer failures than: Plain_A" in page
    assert "| **Perdure** | 20 | 1.00% |" in page
    assert "<svg" in (tmp_path / "resilience.svg").read_text()
