"""What operators do through the doors: edit, revive and discard letters, look at the audit log, say why they pause."""

from typing import Any

import pytest

from perdure.messages.ids import write
from perdure.messages.message import MessageId
from perdure.server.api import bulk
from perdure.testing.given import BROKE, message
from perdure.testing.letters import dead


async def died(served: Any, body: bytes = b'{"ticket":"a"}') -> MessageId:
    await served.store.messages.put([message(agent="triage", body=body)])
    lease = await served.lease()
    await served.store.messages.bury(lease, BROKE)
    return MessageId(lease.message.id)


async def deeds(served: Any, **query: str) -> list[Any]:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await served.get(f"/api/v1/audit?{asked}")
    assert answer.status == 200, answer.text
    return list(answer.json["data"])


async def test_a_dead_letter_is_edited_and_what_it_was_is_shown(served: Any) -> None:
    number = await died(served)
    letter_id = write(number)

    answer = await served.call("PATCH", f"/api/v1/dead-letters/{letter_id}", {"body": {"ticket": "b"}, "priority": 1, "deadline": None})

    assert (answer.status, answer.json["state"], answer.json["body"], answer.json["priority"]) == (200, "dead", {"ticket": "b"}, 1)
    [edit] = (await served.get(f"/api/v1/dead-letters/{letter_id}/edits")).json["data"]
    assert (edit["body_before"], edit["before"]) == ({"ticket": "a"}, {"priority": 5, "deadline": None, "lane": None})
    [deed] = await deeds(served, target=letter_id)
    assert (deed["action"], deed["who"], deed["request_id"]) == ("dead-letter.edit", edit["who"], answer.headers["x-request-id"])


async def test_an_edit_is_checked_as_a_put_is(served: Any) -> None:
    number = await died(served)
    for change, says in (
        ({"body": {"urgency": 1}}, "ticket"),
        ({"priority": 11}, "priority"),
        ({"colour": "red"}, "colour"),
        ({"deadline": "0001-01-01T00:00:00+23:00"}, "deadline"),
    ):
        answer = await served.call("PATCH", f"/api/v1/dead-letters/{write(number)}", change)
        assert (answer.status, says in answer.text) == (422, True), answer.text
    assert (await served.get(f"/api/v1/dead-letters/{write(number)}/edits")).json["data"] == []


async def test_a_letter_is_revived_with_changes_or_without_a_word(served: Any) -> None:
    ids = [write(await died(served)) for _ in range(2)]

    with_changes = await served.post(f"/api/v1/dead-letters/{ids[0]}/revive", {"body": {"ticket": "b"}})
    without = await served.post(f"/api/v1/dead-letters/{ids[1]}/revive")

    assert (with_changes.json["state"], with_changes.json["body"]) == ("ready", {"ticket": "b"})
    assert (without.json["state"], without.json["body"]) == ("ready", {"ticket": "a"})


async def test_a_discarded_letter_is_gone(served: Any) -> None:
    [number] = await dead(served.store, tenant="default")
    letter_id = write(number)
    assert (await served.call("DELETE", f"/api/v1/dead-letters/{letter_id}")).json == {"object": "discarded", "id": letter_id}
    assert (await served.call("DELETE", f"/api/v1/dead-letters/{letter_id}")).status == 404
    assert (await served.call("DELETE", f"/api/v1/dead-letters/{await served.put()}")).status == 409


async def test_many_are_counted_revived_and_discarded_by_filter(served: Any) -> None:
    ids = [write(number) for number in await dead(served.store, 3, code="a") + await dead(served.store, 2, code="b")]

    counted = await served.post("/api/v1/dead-letters/revive", {"filter": {"code": "a"}, "dry_run": True})
    assert (counted.json["done"], counted.json["dry_run"], counted.json["sample"]) == (3, True, ids[2::-1])
    revived = await served.post("/api/v1/dead-letters/revive", {"filter": {"code": "a"}, "per_s": 1, "limit": 2})
    assert (revived.json["done"], revived.json["refused"]) == (2, 0)
    rest = {"filter": {"code": "a"}, "per_s": 1, "cursor": revived.json["next_cursor"]}
    assert (await served.post("/api/v1/dead-letters/revive", rest)).json["next_cursor"] is None
    assert [(await served.get(f"/api/v1/messages/{one}")).json["state"] for one in ids[:3]] == ["later", "later", "ready"]
    assert (await served.post("/api/v1/dead-letters/discard", {"filter": {}})).json["done"] == 2
    assert [deed["action"] for deed in await deeds(served)] == ["dead-letters.discard", "dead-letters.revive", "dead-letters.revive"]


async def test_many_are_edited_by_filter_and_those_that_would_not_do_stay(served: Any) -> None:
    good, bad = await died(served), await died(served, b'"x"')

    answer = await served.post("/api/v1/dead-letters/edit", {"filter": {}, "body_patch": {"urgency": 2}, "priority": 3})

    assert (answer.json["done"], answer.json["refused"], answer.json["sample"]) == (1, 1, [write(good)])
    assert write(bad) in answer.json["problems"][0]
    letter = (await served.get(f"/api/v1/dead-letters/{write(good)}")).json
    assert (letter["body"], letter["priority"]) == ({"ticket": "a", "urgency": 2}, 3)


@pytest.mark.parametrize("deed", ["discard", "edit"])
async def test_many_are_discarded_or_edited_at_a_pace_over_all_calls(served: Any, monkeypatch: pytest.MonkeyPatch, deed: str) -> None:
    monkeypatch.setattr(bulk, "_ENOUGH_S", 0.0)
    await dead(served.store, 3)
    wish = {"filter": {}, "per_s": 0.001} | ({"priority": 1} if deed == "edit" else {})

    first = await served.post(f"/api/v1/dead-letters/{deed}", wish)
    second = await served.post(f"/api/v1/dead-letters/{deed}", wish | {"cursor": first.json["next_cursor"]})

    assert [one.json["done"] for one in (first, second)] == [1, 0]
    assert first.json["due_at"] == second.json["due_at"]
    assert second.json["next_cursor"] == first.json["next_cursor"]


async def test_nobody_reaches_the_letters_of_another_tenant(served: Any) -> None:
    [number] = await dead(served.store, tenant="acme")
    stranger = await served.new_key("other")
    for verb, path, body in (
        ("PATCH", f"/api/v1/dead-letters/{write(number)}", {"priority": 1}),
        ("DELETE", f"/api/v1/dead-letters/{write(number)}", None),
        ("GET", f"/api/v1/dead-letters/{write(number)}/edits", None),
        ("POST", f"/api/v1/dead-letters/{write(number)}/revive", {"priority": 1}),
    ):
        assert (await served.call(verb, path, body, key=stranger)).status == 404
    assert (await served.post("/api/v1/dead-letters/discard", {"filter": {}}, key=stranger)).json["done"] == 0
    assert (await served.post("/api/v1/dead-letters/discard", {"filter": {"tenant": "acme"}}, key=stranger)).status == 403
    assert (await served.get("/api/v1/audit", key=stranger)).status == 403


async def test_messages_that_do_not_run_are_called_off_by_filter(served: Any) -> None:
    for _ in range(3):
        await served.put()
    await served.put("triage", {"ticket": "a"})
    counted = await served.post("/api/v1/messages/cancel", {"filter": {"state": "ready", "queue": "default"}, "dry_run": True})
    done = await served.post("/api/v1/messages/cancel", {"filter": {"state": "ready", "queue": "default"}})
    assert (counted.json["done"], done.json["done"], done.json["next_cursor"]) == (3, 3, None)
    assert [message["state"] for message in (await served.get("/api/v1/messages")).json["data"]] == ["ready", *["cancelled"] * 3]
    [deed] = await deeds(served, action="messages.cancel")
    assert deed["details"] == {"filter": {"state": "ready", "queue": "default"}, "count": 3}


async def test_a_pause_says_why_to_whoever_asks(served: Any) -> None:
    await served.put()
    await served.post("/api/v1/queues/default/pause", {"why": "the bill is too high"})
    await served.post("/api/v1/pause", {"why": "deploy"})
    [queue] = (await served.get("/api/v1/queues")).json["data"]
    everything = (await served.get("/api/v1/pause")).json
    assert (queue["pause"]["why"], everything["pause"]["why"], everything["paused"]) == ("the bill is too high", "deploy", True)
    assert queue["pause"]["who"].startswith("key_")
    assert [deed["details"]["why"] for deed in await deeds(served)] == ["deploy", "the bill is too high"]
    assert (await served.post("/api/v1/resume", {"why": "x"})).status == 200


@pytest.mark.parametrize(
    "query", ["who=nobody", "action=queue.resume", "target=x", "after=2100-01-01T00:00:00Z", "before=2000-01-01T00:00:00Z"]
)
async def test_the_audit_log_is_asked_by_its_columns(served: Any, query: str) -> None:
    await served.post("/api/v1/pause")
    assert (await served.get(f"/api/v1/audit?{query}")).json["data"] == []
    assert len((await served.get("/api/v1/audit?action=all.pause&target=*")).json["data"]) == 1


async def test_keys_made_and_revoked_are_in_the_audit_log_and_never_the_key(served: Any) -> None:
    made = (await served.post("/api/v1/keys", {"name": "ci", "scopes": ["messages:read"], "tenant": "acme"})).json
    await served.call("DELETE", f"/api/v1/keys/{made['id']}")
    rows = await deeds(served, target=made["id"])
    assert [row["action"] for row in rows] == ["key.revoke", "key.create"]
    assert made["key"] not in str(rows)
