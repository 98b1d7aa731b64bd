"""Patterns are found among lines, with their trend, their spikes and what they come together with."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.errors.base import Category, ErrorFacts, Evidence
from perdure.errors.patterns import HOUR_S, KeptLine, Line, Trend, patterns_of
from perdure.errors.templates import Templates, masked

NOW = 1_800_000_000.0
HOUR = int(NOW // HOUR_S)


def line(message: str = "it broke", **more: Any) -> Line:
    return Line(**{"code": "tool-failed", "category": Category.TOOL, "where": "run", "agent": "shop", "message": message, **more})


def kept(message: str = "it broke", *, back: dict[int, int] | None = None, first: float = NOW - 3 * 86400, **more: Any) -> KeptLine:
    hours = {HOUR - hour: n for hour, n in (back or {0: 1}).items()}
    one = line(message, **more)
    return KeptLine(id=one.id, line=one, count=sum(hours.values()), first_at=first, last_at=NOW, sample=message, hours=hours)


@pytest.mark.parametrize(
    ("message", "mask"),
    [
        ("try again in 20s, or 1.5 ms", "try again in <n>s, or <n> ms"),
        ("order msg_01k7s8x4zv000 of 2026-01-02T03:04:05Z", "order <id> of <at>"),
        ("no such model `gpt-5` at http://10.0.0.1/v1", "no such model <said> at <url>"),
        ("10.1.2.3:8080 closed", "<host> closed"),
        ("/var/lib/x/y.db is locked", "<path> is locked"),
        ("anna@example.org is unknown", "<email> is unknown"),
        ("at 0xdeadbeef", "at <id>"),
        ("error_code stays, and so does 'x'\n", "error_code stays, and so does <said>"),
    ],
)
def test_values_give_way_to_marks(message: str, mask: str) -> None:
    assert masked(message) == mask


def test_a_hostile_text_is_masked_in_no_time() -> None:
    for piece in ("a1_", "'", "1.", "a.", "/a", "::", "-0x"):
        assert len(masked(piece * 100_000)) < 500


def test_messages_with_one_template_are_one_group_and_stay_in_it() -> None:
    templates = Templates()
    names = ["anna", "ben", "carl"]
    assert [templates.add(f"payment of {name} refused by bank") for name in names] == [0, 0, 0]
    assert templates.template(0) == "payment of <*> refused by bank"
    assert templates.add("disk is quite full today indeed") == 1
    assert templates.add("payment of dora refused by bank") == 0


def test_lines_of_one_place_and_template_are_a_pattern_known_by_its_first() -> None:
    first = kept("payment of anna refused", first=NOW - 100, model="a")
    other = kept("payment of ben refused", first=NOW - 50, model="b")
    elsewhere = kept("payment of carl refused", agent="bank")
    one, two = sorted(patterns_of([other, elsewhere, first], NOW), key=lambda found: -found.count)
    assert (one.id, one.template, one.count, one.lines) == (f"pat_{first.id:016x}", "payment of <*> refused", 2, {first.id, other.id})
    assert (two.agent, two.count) == ("bank", 1)


@pytest.mark.parametrize(
    ("back", "first", "trend"),
    [
        ({0: 3}, NOW - 3600, Trend.NEW),
        ({0: 10, 30: 2}, NOW - 9e5, Trend.RISING),
        ({0: 2, 30: 10}, NOW - 9e5, Trend.FALLING),
        ({0: 6, 30: 5}, NOW - 9e5, Trend.STEADY),
        ({0: 3, 30: 1}, NOW - 9e5, Trend.STEADY),  # two more are no trend
        ({30: 5}, NOW - 9e5, Trend.QUIET),
    ],
)
def test_a_trend_compares_two_days(back: dict[int, int], first: float, trend: Trend) -> None:
    [found] = patterns_of([kept(back=back, first=first)], NOW)
    assert found.trend is trend
    assert sum(found.hours) == found.last_day


@pytest.mark.parametrize(
    ("back", "spike"),
    [
        ({0: 40, **dict.fromkeys(range(2, 26), 10)}, True),
        ({1: 40, **dict.fromkeys(range(2, 26), 10)}, True),
        ({0: 15, **dict.fromkeys(range(2, 26), 10)}, False),  # chance does that
        ({0: 4}, False),  # too few to wake anybody
        ({0: 6}, True),
    ],
)
def test_a_spike_is_more_than_chance(back: dict[int, int], spike: bool) -> None:
    [found] = patterns_of([kept(back=back)], NOW)
    assert found.spike is spike


def test_what_an_error_comes_together_with_stands_out() -> None:
    lines = [
        kept("it broke", tool="pay", tool_version="v2", back={0: 18}),
        kept("it broke", tool="pay", tool_version="v1", back={0: 2}),
        kept("nothing there", tool="look", tool_version="v1", back={0: 80}),
        kept("no tool at all", back={0: 500}),
    ]
    found = next(one for one in patterns_of(lines, NOW) if one.tool_version == "v2")
    strongest = found.correlations[0]
    assert {(one.what, one.value) for one in found.correlations[:2]} == {("tool", "pay"), ("tool_version", "v2")}
    version = next(one for one in found.correlations if (one.what, one.value) == ("tool_version", "v2"))
    assert (version.count, version.share, version.usual) == (18, 0.9, 0.0), "beside the others that have one"
    assert strongest.share - strongest.usual >= version.share - version.usual


def test_a_line_says_where_without_the_number_of_the_line() -> None:
    facts = ErrorFacts(code="tool-failed", category=Category.TOOL, message="m 1", evidence=Evidence(trace="pages.py:7 read < run.py:3 go"))
    assert Line.of(facts, where="run", agent=None).frame == "pages.py read"
    assert Line.of(facts, where="run", agent=None).message == "m <n>"


def test_an_id_is_made_of_all_and_a_family_of_all_but_message_and_model() -> None:
    a, b = line("a", model="m"), line("b", model="n")
    assert a.id != b.id
    assert a.family == b.family != line("a", tool_version="2").family
    assert 0 <= a.id < 2**63
    assert a.overflow == b.overflow
