"""One tells, others listen, and neither knows the other."""

from collections.abc import Mapping
from typing import Any

import pytest

from perdure.events import heard, listen, tell

Told = list[tuple[str, Mapping[str, Any]]]


def test_who_listens_to_a_prefix_hears_what_begins_with_it() -> None:
    told: Told = []
    stop = listen("test.one", lambda name, facts: told.append((name, facts)))
    tell("test.one.done", n=1)
    tell("test.two.done", n=2)
    stop()
    tell("test.one.done", n=3)
    assert told == [("test.one.done", {"n": 1})]


def test_who_comes_after_an_event_was_told_hears_it_the_next_time() -> None:
    told: Told = []
    tell("test.late", n=1)
    stop = listen("test.", lambda name, facts: told.append((name, facts)))
    tell("test.late", n=2)
    stop()
    assert told == [("test.late", {"n": 2})]


def test_whether_anybody_listens_is_known_at_every_moment() -> None:
    assert not heard("test.somebody")
    stop = listen("test.some", lambda name, facts: None)
    assert heard("test.somebody")
    stop()
    stop()
    assert not heard("test.somebody")


def test_a_listener_that_fails_reaches_neither_the_teller_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    told: Told = []

    def fails(name: str, facts: Mapping[str, Any]) -> None:
        raise ValueError(name)

    stops = [listen("test.", fails), listen("test.", lambda name, facts: told.append((name, facts)))]
    tell("test.broken")
    for stop in stops:
        stop()
    assert [name for name, _ in told] == ["test.broken"]
    assert "a listener failed on test.broken" in caplog.text
