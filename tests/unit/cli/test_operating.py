"""What operators do from a terminal."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def letters(served: Any, perdure: Any) -> Any:
    """Let some messages die in a queue of their own, and forget them afterwards."""

    def make(queue: str, n: int) -> list[str]:
        sent = [served.put({"n": one}, agent="broken", queue=queue) for one in range(n)]
        served.work()
        return sent

    yield make
    perdure("dead", "discard", "--all", "--yes")
    perdure("messages", "cancel", "--state", "ready")


def test_letters_are_counted_and_revived_by_filter_at_a_pace(served: Any, perdure: Any, letters: Any) -> None:
    ids = letters("sad", 5)
    letters("other", 1)
    counted = perdure("dead", "revive", "--queue", "sad", "--dry-run")
    assert (counted.code, "5 fit" in counted.err, ids[-1] in counted.err) == (0, True, True)
    done = perdure("dead", "revive", "--queue", "sad", "--per-s", "0.01", "--json")
    assert (done.json["done"], done.json["next_cursor"]) == (5, None)
    states = [perdure("messages", "show", one, "--json").json["state"] for one in ids]
    assert states == ["later"] * 4 + ["ready"]
    assert "paced" in perdure("messages", "list", "--queue", "sad", "--state", "later").out
    assert "0 fit" in perdure("dead", "revive", "--queue", "sad").err
    assert "cancelled: 4" in perdure("messages", "cancel", "--state", "later", "--queue", "sad").err


def test_letters_are_discarded_only_when_somebody_says_yes(perdure: Any, letters: Any) -> None:
    ids = letters("sad", 3)
    asked = perdure("dead", "discard", "--queue", "sad")
    assert (asked.code, "--yes" in asked.err) == (2, True)
    assert "discarded: 2" in perdure("dead", "discard", "--queue", "sad", "--limit", "2", "--yes").err
    assert perdure("dead", "discard", ids[0]).code == 0
    assert perdure("dead", "show", ids[0]).code == 3
    assert "dead-letters.discard" in perdure("audit", "--action", "dead-letters.discard").out


def test_which_ones_must_be_said(perdure: Any, letters: Any) -> None:
    [one] = letters("sad", 1)
    for said in ([], [one, "--all"], ["--code", "x", "--all"]):
        assert perdure("dead", "revive", *said).code == 2
    assert perdure("messages", "cancel").code == 2


def test_letters_are_edited_one_by_one_and_many_at_once(perdure: Any, letters: Any) -> None:
    ids = letters("sad", 2)
    assert '"n": 9' in perdure("dead", "edit", ids[0], "--body", '{"n": 9}', "--priority", "1").out.replace('"n":9', '"n": 9')
    patched = perdure("dead", "edit", "--queue", "sad", "--patch", '{"x": true}', "--json")
    assert patched.json["done"] == 2
    assert perdure("messages", "show", ids[0], "--json").json["body"] == {"n": 9, "x": True}
    history = perdure("dead", "edits", ids[0])
    assert (history.code, '"n":0' in history.out or "'n': 0" in history.out) == (0, True)
    assert perdure("dead", "edit", ids[0], "--patch", "{}").code == 2
    assert perdure("dead", "edit", "--all", "--body", "{}").code == 2


def test_a_pause_says_why(served: Any, perdure: Any) -> None:
    served.put(1, queue="halted")
    assert perdure("pause", "halted", "--why", "the bill is too high").code == 0
    assert "the bill is too high" in perdure("audit", "--target", "halted").out
    assert perdure("audit", "--target", "halted", "--json").json["data"][0]["action"] == "queue.pause"
    perdure("resume", "halted")
    served.work()


def test_schedules_are_added_shown_run_paused_and_removed(served: Any, perdure: Any) -> None:
    added = perdure("schedules", "add", "nightly", "echo", '{"n": 1}', "--cron", "30 2 * * *", "--timezone", "Europe/Berlin")
    assert (added.code, "Europe/Berlin" in added.out) == (0, True)
    assert perdure("schedules", "add", "nightly", "echo", "1", "--cron", "@daily").code == 4
    assert perdure("schedules", "add", "nightly", "echo", "1", "--cron", "@daily", "--replace").code == 0
    assert "@daily" in perdure("schedules", "list").out
    assert len(perdure("schedules", "show", "nightly", "--next", "3", "--json").json["upcoming"]) == 3
    put = perdure("schedules", "run", "nightly").out.strip()
    assert perdure("messages", "show", put, "--json").json["metadata"]["schedule"] == "nightly"
    assert "paused" in perdure("schedules", "pause", "nightly").err
    assert "paused" in perdure("schedules", "list").out
    assert "fires next at" in perdure("schedules", "resume", "nightly").err
    assert perdure("schedules", "remove", "nightly").code == 0
    assert perdure("schedules", "show", "nightly").code == 3
    bad = perdure("schedules", "add", "x", "echo", "1", "--cron", "often")
    assert (bad.code, "five fields" in bad.err) == (2, True)
    served.work()
