"""Keys that are guessed, stolen, revoked, expired, or sent where they should not be."""

from __future__ import annotations

import hmac
import inspect
import io
import logging

import pytest

from perdure.monitor.logs import set_up_logs, write_events
from perdure.server import auth
from perdure.server.dashboard import login, session, visit

DOORS = ("/api/v1/messages", "/v1/models", "/metrics", "/api/v1/openapi.json")


@pytest.mark.parametrize("path", DOORS)
async def test_a_key_in_the_address_opens_nothing(served, path):
    for name in ("key", "api_key", "access_token", "authorization", "token"):
        answer = await served.get(f"{path}?{name}={served.key}", key=None)
        assert answer.status == 401
        assert served.key not in answer.text


async def test_a_key_in_the_address_beside_a_good_header_is_refused_and_not_repeated(served):
    answer = await served.get(f"/api/v1/messages?api_key={served.key}")
    assert answer.status == 422
    assert served.key not in answer.text


@pytest.mark.parametrize("path", DOORS)
async def test_a_key_in_a_cookie_opens_no_door(served, path):
    answer = await served.get(path, key=None, headers={"cookie": f"perdure_session={served.key}; authorization={served.key}"})
    assert answer.status == 401


@pytest.mark.parametrize("path", DOORS)
async def test_a_session_of_the_pages_opens_no_door_of_the_api(served, browser, path):
    await browser.log_in()
    assert (await served.get(path, key=None, headers=browser._headers({}))).status == 401


async def test_two_keys_at_once_are_refused(served):
    import asyncio

    reader, writer = await asyncio.open_connection(*served.address)
    head = f"GET /api/v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer nonsense\r\nauthorization: Bearer {served.key}\r\n"
    writer.write((head + "connection: close\r\n\r\n").encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_revoked_key_is_out_at_once_here_and_within_five_seconds_elsewhere(served):
    made = (await served.post("/api/v1/keys", {"name": "k", "scopes": ["*"]})).json
    assert (await served.get("/api/v1/messages", key=made["key"])).status == 200
    await served.call("DELETE", f"/api/v1/keys/{made['id']}")
    assert (await served.get("/api/v1/messages", key=made["key"])).status == 401

    other = (await served.post("/api/v1/keys", {"name": "k", "scopes": ["*"]})).json
    assert (await served.get("/api/v1/messages", key=other["key"])).status == 200
    await served.store.keys.revoke(other["id"])  # by another server, on the same store
    served.clock.pass_by(seconds=5)
    answer = await served.get("/api/v1/messages", key=other["key"])
    assert (answer.status, answer.json["detail"]) == (401, "this key was revoked")


async def test_a_key_made_elsewhere_is_known_within_five_seconds(served):
    from perdure.security.keys import digest, make_key

    key, secret = make_key("later", tenant="*", scopes=["*"], now=0)
    assert (await served.get("/api/v1/messages", key=secret)).status == 401
    await served.store.keys.add(key, digest(secret))
    served.clock.pass_by(seconds=5)
    assert (await served.get("/api/v1/messages", key=secret)).status == 200


async def test_a_revoked_or_expired_key_ends_its_sessions(served, browser):
    made = (await served.post("/api/v1/keys", {"name": "k", "scopes": ["*"]})).json
    await browser.log_in(made["key"])
    assert (await browser.get("/")).status == 200
    await served.call("DELETE", f"/api/v1/keys/{made['id']}")
    assert (await browser.get("/")).status == 303
    assert (await browser.submit("/pause")).status == 401
    assert not await served.store.messages.paused()

    brief = await served.new_key("*", expires_at=served.clock.now() + 60)
    await browser.log_in(brief)
    served.clock.pass_by(seconds=60)
    assert (await browser.get("/")).status == 303


async def test_guessing_costs_the_store_nothing(served):
    looked = []
    real = served.store.keys.by_digest

    async def by_digest(digest):
        looked.append(digest)
        return await real(digest)

    served.core.gate._keys = type("Keys", (), {"by_digest": staticmethod(by_digest)})()
    for n in range(50):
        assert (await served.get("/api/v1/messages", key=f"pdr_{n:049d}")).status == 401
    assert looked == []


async def test_what_is_remembered_of_unknown_keys_has_an_end(served):
    from perdure.security.keys import make_key

    served.core.gate._remembered = 10
    for _ in range(30):
        await served.get("/api/v1/messages", key=make_key("x", tenant="*", scopes=[], now=0)[1])
    assert len(served.core.gate._known) <= 10


async def test_the_store_keeps_no_key(served):
    kept = repr(await served.store.keys.list()) + repr(vars(served.store))
    assert served.key not in kept


def test_secrets_are_compared_in_constant_time():
    for module in (session, login, visit):
        assert "compare_digest" in inspect.getsource(module)
    assert hmac.compare_digest is session.hmac.compare_digest
    assert "==" not in inspect.getsource(auth.Gate.by_digest)  # looked up by digest, never compared letter by letter


@pytest.fixture
def log():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    out = io.StringIO()
    set_up_logs("json", stream=out, level=logging.DEBUG)
    stop = write_events()
    yield out
    stop()
    root.handlers[:], root.level = before[0], before[1]


async def test_the_log_holds_no_key_whatever_goes_wrong(log, served, browser, monkeypatch):
    await served.get(f"/api/v1/messages?api_key={served.key}")
    await served.get(f"/nowhere/{served.key}")
    await browser.log_in()
    await browser.get("/login")
    await browser.submit("/login", key=served.key[:-1])

    async def fail(*_, **__):
        raise RuntimeError(f"Authorization: Bearer {served.key} was refused")

    monkeypatch.setattr(type(served.store.messages), "list", fail)
    answer = await served.get("/api/v1/messages")
    page = await browser.get("/")
    assert answer.status == page.status == 500
    written = log.getvalue()
    assert "RuntimeError" in written
    assert served.key[4:-6] not in written + answer.text + page.text
    assert browser.cookies["perdure_session"] not in written


async def test_events_tell_no_key(served, browser):
    from perdure.events import listen

    told = []
    stop = listen("", lambda name, facts: told.append((name, dict(facts))))
    try:
        await served.put()
        await served.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})
        await browser.log_in()
    finally:
        stop()
    assert told
    assert served.key[4:] not in repr(told)
