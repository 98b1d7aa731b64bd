from __future__ import annotations

import pytest


async def test_a_limit_holds_what_is_beyond_it_and_says_so(served):
    set_to = await served.call("PUT", "/api/v1/limits/queue/mail", {"at_once": 1})
    assert (set_to.status, set_to.json) == (200, {"object": "limit", "scope": "queue", "name": "mail", "at_once": 1, "used": 0, "held": 0})
    first, second = await served.put(queue="mail"), await served.put(queue="mail")
    held = (await served.get(f"/api/v1/messages/{second}")).json
    assert (held["state"], held["held_by"], held["position"]) == ("held", "limit queue 'mail' (1 at once)", None)
    [limit] = (await served.get("/api/v1/limits")).json["data"]
    assert (limit["used"], limit["held"]) == (1, 1)
    assert [one["id"] for one in (await served.get("/api/v1/messages?state=held")).json["data"]] == [second]
    await served.post(f"/api/v1/messages/{first}/cancel")
    assert (await served.get(f"/api/v1/messages/{second}")).json["state"] == "ready"


async def test_a_lifted_limit_is_gone(served):
    await served.call("PUT", "/api/v1/limits/tenant/acme", {"at_once": 3})
    assert (await served.call("DELETE", "/api/v1/limits/tenant/acme")).json["at_once"] == 3
    assert (await served.call("DELETE", "/api/v1/limits/tenant/acme")).status == 404
    assert (await served.get("/api/v1/limits")).json["data"] == []


@pytest.mark.parametrize("at_once", [0, -1, "3", None, 10**7])
async def test_a_limit_that_makes_no_sense_is_refused(served, at_once):
    assert (await served.call("PUT", "/api/v1/limits/tenant/acme", {"at_once": at_once})).status == 422


@pytest.mark.parametrize("path", ["colour/red", "queue/..%2fkeys", "queue/a%00b", f"queue/{'x' * 200}"])
async def test_there_is_no_limit_of_what_cannot_be(served, path):
    assert (await served.call("PUT", f"/api/v1/limits/{path}", {"at_once": 1})).status == 404


async def test_a_session_is_put_shown_and_found(served):
    said = {"session": "talk", "on_dead": "block", "key": "k", "cost": 2}
    first = (await served.post("/api/v1/messages", {"agent": "echo", "body": {}, **said})).json["id"]
    second = await served.put(session="talk")
    shown = (await served.get(f"/api/v1/messages/{first}")).json
    assert (shown["session"], shown["on_dead"], shown["key"], shown["cost"]) == ("talk", "block", "k", 2)
    behind = (await served.get(f"/api/v1/messages/{second}")).json
    assert (behind["state"], behind["held_by"], behind["position"]) == ("held", "session 'talk'", 1)
    await served.put()
    found = (await served.get("/api/v1/messages?session=talk")).json["data"]
    assert [one["id"] for one in found] == [second, first]


@pytest.mark.parametrize("said", [{"session": ""}, {"session": "x" * 201}, {"on_dead": "stop"}, {"cost": 0}, {"key": ""}])
async def test_nonsense_about_a_turn_is_refused(served, said):
    assert (await served.post("/api/v1/messages", {"agent": "echo", "body": {}, **said})).status == 422
