"""Somebody tries to make a logged-in person's browser do or show what it should not."""

from __future__ import annotations

import re

import pytest

from perdure.agents.journal import Intent, StepKey, StepKind
from perdure.errors.base import AgentFailed

EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'><a href=javascript:alert(1)>"
ACTIONS = ("/pause", "/resume", "/queues/mail/pause", "/queues/mail/resume", "/messages/{id}/cancel", "/messages/{id}/revive", "/logout")


@pytest.fixture
async def inside(browser):
    return await browser.log_in()


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("token", ["", "wrong", "AAAA" * 10])
async def test_a_form_without_the_sessions_token_does_nothing(served, inside, action, token):
    sent = await served.put(queue="mail")
    inside.token = token
    assert (await inside.submit(action.replace("{id}", sent))).status == 403
    assert not await served.store.messages.paused()
    assert (await served.get(f"/api/v1/messages/{sent}")).json["state"] == "ready"
    assert (await inside.get("/")).status == 200


async def test_another_sessions_token_does_nothing(inside, browser):
    from dataclasses import replace

    other = replace(browser, cookies={}, token="")
    await other.log_in()
    inside.token = other.token
    assert (await inside.submit("/pause")).status == 403
    assert (await other.submit("/pause")).status == 303


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}]
)
async def test_a_form_sent_from_another_site_does_nothing_even_with_the_token(served, inside, headers):
    assert (await inside.submit("/pause", headers)).status == 403
    assert not await served.store.messages.paused()


async def test_a_form_from_our_own_page_is_taken(served, inside):
    host = served.url.removeprefix("http://")
    assert (await inside.submit("/pause", {"origin": f"http://{host}", "host": host})).status == 303
    assert (await inside.submit("/resume", {"sec-fetch-site": "same-origin"})).status == 303


async def test_nobody_can_be_logged_in_by_another_site(served, browser):
    await browser.get("/login")
    assert (await browser.submit("/login", {"sec-fetch-site": "cross-site"}, key=served.key)).status == 403
    browser.token = "made-up"
    assert (await browser.submit("/login", key=served.key)).status == 403
    browser.cookies.clear()
    assert (await browser.submit("/login", key=served.key)).status == 403
    assert "perdure_session" not in browser.cookies


@pytest.mark.parametrize("content", ["application/json", "text/plain", "multipart/form-data", ""])
async def test_an_action_takes_forms_only(served, inside, content):
    assert (await inside.submit("/pause", {"content-type": content})).status == 400
    assert not await served.store.messages.paused()


@pytest.mark.parametrize(
    "back", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nset-cookie: x=y", "\\\\evil", "/ü"]
)
async def test_no_form_leads_away(inside, back):
    answer = await inside.submit("/resume", back=back)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert "set-cookie" not in answer.headers


async def test_the_login_leads_nowhere_else(served, browser):
    await browser.get("/login?next=https://evil.example")
    answer = await browser.submit("/login", key=served.key, next="https://evil.example")
    assert answer.headers["location"] == "/"


async def test_what_others_wrote_is_shown_as_text(served, inside):
    sent = await served.put("triage", {"ticket": EVIL}, metadata={"<b>bold</b>": EVIL[:500]}, dedup_key="<i>x")
    lease = await served.lease()
    key = StepKey("<u>", StepKind.TOOL, "<script>alert(2)</script>", "f", 0)
    await served.store.journal.intend(lease, Intent(number=1, key=key, request=b'"<script>alert(3)</script>"', tool_version="<x>"))
    await served.store.journal.record(lease, 1, b'"<script>alert(4)</script>"')
    await served.store.messages.bury(lease, AgentFailed(EVIL, hint=EVIL).facts())
    done = await served.put("echo", EVIL)
    await served.store.messages.done(await served.lease(), b'"<script>alert(5)</script>"')
    for path in (f"/messages/{sent}", f"/messages/{done}", "/", f"/?queue={EVIL}&agent=<script>", "/messages/<script>alert(6)</script>"):
        page = (await inside.get(path)).text
        assert re.findall(r"<script(?! src=\"/static/app\.js)", page) == [], path
        assert "<img" not in page
        assert "<a href=javascript" not in page
        assert "<b>bold" not in page
    login = (await inside.get("/login?next=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")).text
    assert "><script>alert" not in login


@pytest.mark.parametrize("path", ["/", "/login", "/messages/msg_0000000000000"])
async def test_pages_allow_no_foreign_or_inline_code_and_no_frames(inside, path):
    answer = await inside.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<[^>]+\s(?:style|on\w+)=", answer.text) == []
    assert re.findall(r"(?:src|href)=\"(?:https?:)?//", answer.text) == []


async def test_sessions_cannot_be_read_by_scripts_or_sent_by_other_sites(served, browser):
    await browser.get("/login")
    answer = await browser.submit("/login", key=served.key)
    for cookie in answer.headers.getall("set-cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
    assert served.key not in "".join(answer.headers.getall("set-cookie"))


@pytest.mark.parametrize("path", ["/live", "/live?message=msg_0000000000000"])
async def test_nobody_listens_without_a_session(served, path):
    for headers in ({}, {"cookie": "perdure_session=made-up"}, {"accept": "text/event-stream"}):
        answer = await served.get(path, key=None, headers=headers)
        assert answer.status in (303, 401)
    assert (await served.get(path)).status == 303  # a key in a header is for the API, not for pages


async def test_a_revoked_key_hears_nothing_more(served, browser, monkeypatch):
    import asyncio

    monkeypatch.setattr("perdure.server.dashboard.live.PING_S", 0.05)
    made = (await served.post("/api/v1/keys", {"name": "k", "scopes": ["*"]})).json
    await browser.log_in(made["key"])
    async with served.http.get(served.url + "/live", headers=browser._headers({})) as stream:
        await stream.content.readuntil(b"\n\n")
        await served.call("DELETE", f"/api/v1/keys/{made['id']}")
        rest = await asyncio.wait_for(stream.content.read(), 5)
    assert b"event: over" in rest
    assert b"event: change" not in rest
