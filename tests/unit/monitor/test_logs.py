from __future__ import annotations

import io
import json
import logging

import pytest

from perdure.events import heard, tell
from perdure.monitor.logs import set_up_logs, write_events

KEY = "pdr_" + "A" * 49


@pytest.fixture
def written():
    """What the log writes, as JSON or as text."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def start(kind):
        out = io.StringIO()
        set_up_logs(kind, stream=out)
        return out

    yield start
    root.handlers[:], root.level = before[0], before[1]


def test_a_line_of_json_has_when_how_loud_who_and_what(written):
    out = written("json")
    logging.getLogger("perdure.test").warning("it is %s", "late", extra={"message_id": "msg_1", "count": 3})
    line = json.loads(out.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {"level": "warning", "logger": "perdure.test", "event": "it is late", "message_id": "msg_1", "count": 3}


def test_a_line_of_text_is_short(written):
    out = written("text")
    logging.getLogger("perdure.test").warning("it is late", extra={"count": 3})
    assert out.getvalue()[12:] == " warning it is late count=3\n"


def test_without_a_terminal_it_is_json(written):
    out = written("auto")
    logging.getLogger("x").info("hello")
    assert json.loads(out.getvalue())["event"] == "hello"


@pytest.mark.parametrize("kind", ["json", "text"])
def test_no_secret_is_written_wherever_it_hides(written, kind):
    out = written(kind)
    log = logging.getLogger("some.library")
    log.warning("key %s", KEY)
    log.warning("Authorization: Bearer abcdefghijkl")
    log.warning("facts", extra={"api_key": "hidden-1", "inner": {"password": "hidden-2", "deep": [KEY]}, "facts": {"token": KEY}})
    try:
        raise ValueError(f"refused {KEY} at postgres://user:hidden-3@host/db")
    except ValueError:
        log.exception("failed")
    text = out.getvalue()
    assert "A" * 20 not in text
    assert "abcdefghijkl" not in text
    assert "hidden" not in text
    assert "ValueError" in text


@pytest.mark.parametrize("kind", ["json", "text"])
def test_nobody_can_begin_a_line_of_their_own_or_steer_a_terminal(written, kind):
    out = written(kind)
    logging.getLogger("x").warning("name %s", "a\nfake line\x1b[2J\r", extra={"agent": "b\nfake"})
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()


def test_halves_of_characters_do_not_break_the_log(written):
    out = written("json")
    logging.getLogger("x").warning("odd \ud800", extra={"odd": "\udfff"})
    assert json.loads(out.getvalue())["event"] == "odd \ud800"


def test_a_fact_is_written_as_people_know_it(written):
    out = written("json")
    stop = write_events(said={"message": "msg_{}".format})
    tell("message.dead", message=7, worker=None, code="poison")
    stop()
    line = json.loads(out.getvalue())
    assert (line["message"], line["code"], "worker" in line) == ("msg_7", "poison", False)


def test_events_that_somebody_may_have_to_look_into_are_written(written):
    out = written("json")
    stop = write_events()
    try:
        tell("message.dead", message=7, name="shadows", code="poison", agent=None)
        tell("message.put", message=8)
        tell("worker.died", worker=1)
        tell("worker.isolating", worker=2)
        assert not heard("message.done")
    finally:
        stop()
    tell("message.dead", message=9)
    assert not heard("message.dead")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "message.dead"),
        ("warning", "worker.died"),
        ("info", "worker.isolating"),
    ]
    assert (lines[0]["message"], lines[0]["code"], lines[0]["name"]) == (7, "poison", "shadows")
    assert "agent" not in lines[0]
