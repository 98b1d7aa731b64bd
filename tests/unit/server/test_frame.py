from __future__ import annotations

import pytest

from perdure.events import listen
from perdure.server.frame import Frame, trace_of


def scope(kind="http"):
    return {"type": kind, "method": "GET", "path": "/", "headers": []}


class Sent(list):
    async def __call__(self, message):
        self.append(message)


@pytest.fixture
def told():
    found = []
    stop = listen("request.served", lambda name, facts: found.append(facts))
    yield found
    stop()


async def test_what_breaks_outside_all_doors_is_500_without_a_traceback(told, caplog):
    async def broken(scope, receive, send):
        raise ZeroDivisionError("inner")

    sent = Sent()
    await Frame(broken)(scope(), None, sent)
    assert sent[0]["status"] == 500
    assert b"inner" not in sent[1]["body"]
    assert b'"code":"internal-error"' in sent[1]["body"]
    assert told[0]["status"] == 500
    assert told[0]["request_id"] in caplog.text


async def test_what_breaks_in_the_middle_of_an_answer_cuts_the_connection(told):
    async def broken(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError("inner")

    sent = Sent()
    with pytest.raises(ZeroDivisionError):
        await Frame(broken)(scope(), None, sent)
    assert len(sent) == 1
    assert (told[0]["status"], told[0]["code"]) == (200, "internal-error")


async def test_a_request_nobody_waits_for_any_more_is_told_as_499(told):
    async def silent(scope, receive, send):
        trace_of(scope).route = "/x"

    await Frame(silent)(scope(), None, Sent())
    assert (told[0]["status"], told[0]["route"]) == (499, "/x")


async def test_an_answer_may_say_something_better_than_the_frame():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"public")]})

    sent = Sent()
    await Frame(app)(scope(), None, sent)
    assert [value for name, value in sent[0]["headers"] if name == b"cache-control"] == [b"public"]


async def test_what_is_no_request_passes_untouched():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    await Frame(app)(scope("lifespan"), None, Sent())
    assert seen == ["lifespan"]
