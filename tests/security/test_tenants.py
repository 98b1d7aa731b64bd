"""Somebody with a good key of one tenant goes after another tenant's messages."""

from __future__ import annotations

import pytest

from perdure.agents.journal import Intent, StepKey, StepKind
from perdure.errors.base import AgentFailed, OutcomeUnknown
from perdure.messages.message import Wait


@pytest.fixture
async def thief(served):
    return await served.new_key("thief")


@pytest.fixture
async def theirs(served):
    """Another tenant's message, waiting for a decision."""
    key = await served.new_key("victim")
    sent = await served.put("echo", {"text": "confidential"}, key=key, queue="private", dedup_key="k")
    lease = await served.lease()
    await served.store.journal.intend(lease, Intent(number=1, key=StepKey("", StepKind.TOOL, "refund", "f", 0)))
    await served.store.messages.park(lease, Wait(why="outcome-unknown", step=1, error=OutcomeUnknown("open").facts()))
    return sent


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/messages/{id}", None),
        ("GET", "/api/v1/messages/{id}?wait=1", None),
        ("GET", "/api/v1/messages/{id}/steps", None),
        ("GET", "/api/v1/messages/{id}/attempts", None),
        ("POST", "/api/v1/messages/{id}/cancel", None),
        ("POST", "/api/v1/messages/{id}/steps/1/decision", {"decision": "run-again"}),
        ("GET", "/api/v1/dead-letters/{id}", None),
        ("POST", "/api/v1/dead-letters/{id}/revive", None),
    ],
)
async def test_another_tenants_message_is_not_there(served, thief, theirs, method, path, body):
    answer = await served.call(method, path.replace("{id}", theirs), body, key=thief)
    never = await served.call(method, path.replace("{id}", "msg_0000000000000"), body, key=thief)
    assert answer.status == never.status == 404
    assert answer.json["code"] == never.json["code"]
    assert "confidential" not in answer.text
    assert (await served.get(f"/api/v1/messages/{theirs}")).json["state"] == "waiting"


async def test_a_dead_letter_of_another_tenant_cannot_be_revived(served, thief, theirs):
    sent = await served.put(key=await served.new_key("victim"))
    await served.store.messages.bury(await served.lease(), AgentFailed("x").facts())
    assert (await served.post(f"/api/v1/dead-letters/{sent}/revive", key=thief)).status == 404
    assert (await served.get(f"/api/v1/messages/{sent}")).json["state"] == "dead"


async def test_listings_and_changes_hold_only_ones_own(served, thief, theirs):
    mine = await served.put(key=thief)
    assert [row["id"] for row in (await served.get("/api/v1/messages", key=thief)).json["data"]] == [mine]
    assert (await served.get("/api/v1/messages?queue=private", key=thief)).json["data"] == []
    assert {row["id"] for row in (await served.get("/api/v1/changes?after=0", key=thief)).json["data"]} == {mine}
    assert (await served.get("/api/v1/dead-letters", key=thief)).json["data"] == []


async def test_another_tenants_cursor_opens_nothing(served, thief, theirs):
    for n in range(3):
        await served.put("echo", n)
    cursor = (await served.get("/api/v1/messages?limit=1")).json["next_cursor"]
    page = await served.get(f"/api/v1/messages?cursor={cursor}", key=thief)
    assert page.status in (200, 422)
    assert page.json.get("data", []) == []


async def test_nobody_puts_in_anothers_name(served, thief):
    for body in ({"agent": "echo", "body": 1, "tenant": "victim"}, {"messages": [{"agent": "echo", "body": 1, "tenant": "victim"}]}):
        answer = await served.post("/api/v1/messages", body, key=thief)
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert (await served.post("/api/v1/messages", {"agent": "echo", "body": 1, "tenant": "*"}, key=thief)).status == 422
    assert (await served.get("/api/v1/messages")).json["data"] == []


async def test_the_same_dedup_key_of_two_tenants_is_two_messages(served, thief, theirs):
    answer = await served.post("/api/v1/messages", {"agent": "echo", "body": {"other": 1}, "dedup_key": "k"}, key=thief)
    assert answer.status == 202
    assert answer.json["duplicate"] is False
    assert answer.json["id"] != theirs


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/queues"),
        ("POST", "/api/v1/queues/private/pause"),
        ("POST", "/api/v1/queues/private/resume"),
        ("POST", "/api/v1/pause"),
        ("POST", "/api/v1/resume"),
        ("GET", "/api/v1/workers"),
        ("GET", "/metrics"),
    ],
)
async def test_what_concerns_all_tenants_needs_an_operator(served, thief, theirs, method, path):
    answer = await served.call(method, path, key=thief)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert "private" not in answer.text.replace("/queues/private", "")
    assert not await served.store.messages.paused()


async def test_nobody_makes_a_key_that_opens_more_than_their_own(served, thief):
    weak = await served.new_key("thief", ["keys:*", "messages:read"])
    for body, key in (
        ({"name": "k", "scopes": ["*"], "tenant": "*"}, thief),
        ({"name": "k", "scopes": ["messages:read"], "tenant": "victim"}, thief),
        ({"name": "k", "scopes": ["*"]}, weak),
        ({"name": "k", "scopes": ["messages:*"]}, weak),
        ({"name": "k", "scopes": ["messages:read", "chat:write"]}, weak),
    ):
        answer = await served.post("/api/v1/keys", body, key=key)
        assert (answer.status, answer.json["code"]) == (403, "forbidden"), body
    assert (await served.post("/api/v1/keys", {"name": "k", "scopes": ["messages:read"]}, key=weak)).json["tenant"] == "thief"


async def test_another_tenants_keys_are_neither_seen_nor_revoked(served, thief):
    keys = (await served.get("/api/v1/keys")).json["data"]
    operator = next(key for key in keys if key["tenant"] == "*")
    assert {key["tenant"] for key in (await served.get("/api/v1/keys", key=thief)).json["data"]} == {"thief"}
    assert (await served.call("DELETE", f"/api/v1/keys/{operator['id']}", key=thief)).status == 404
    assert (await served.get("/api/v1/keys")).status == 200


@pytest.mark.parametrize("path", ["/messages/{id}", "/live?message={id}"])
async def test_the_pages_show_nothing_of_another_tenant(served, thief, theirs, browser, path):
    await browser.log_in(thief)
    answer = await browser.get(path.replace("{id}", theirs))
    assert answer.status == 404
    assert "confidential" not in answer.text
    overview = (await browser.get("/")).text
    assert "private" not in overview
    assert theirs not in overview
    assert "Pause everything" not in overview


@pytest.mark.parametrize("action", ["cancel", "revive", "steps/1/decision"])
async def test_the_pages_do_nothing_to_another_tenant(served, thief, theirs, browser, action):
    await browser.log_in(thief)
    answer = await browser.submit(f"/messages/{theirs}/{action}", decision="bury")
    assert answer.status == 404
    assert (await served.get(f"/api/v1/messages/{theirs}")).json["state"] == "waiting"


async def test_the_pages_let_only_operators_pause(served, thief, theirs, browser):
    await browser.log_in(thief)
    for path in ("/pause", "/resume", "/queues/private/pause"):
        assert (await browser.submit(path)).status == 403
    assert not await served.store.messages.paused()
