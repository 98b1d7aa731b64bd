from __future__ import annotations

import asyncio
import json

import pytest

from perdure.errors.base import AgentFailed
from perdure.messages import ids
from perdure.messages.message import Wait
from perdure.messages.registry import AgentCard, WorkerCard


async def test_a_message_put_is_accepted_with_an_id_and_found_again(served):
    answer = await served.post("/api/v1/messages", {"agent": "echo", "body": {"text": "hi"}})
    assert answer.status == 202
    receipt = answer.json
    assert receipt == {"object": "receipt", "id": receipt["id"], "duplicate": False, "group": None}
    assert answer.headers["location"] == f"/api/v1/messages/{receipt['id']}"
    found = (await served.get(answer.headers["location"])).json
    assert (found["state"], found["agent"], found["body"], found["result"]) == ("ready", "echo", {"text": "hi"}, None)
    assert found["created_at"].endswith("Z")


async def test_a_message_has_exactly_the_fields_of_the_wire(served):
    message = (await served.get(f"/api/v1/messages/{await served.put()}")).json
    assert list(message) == [
        "object",
        "id",
        "agent",
        "queue",
        "tenant",
        "priority",
        "state",
        "blocked_by",
        "cancelling",
        "attempt",
        "attempts",
        "crashes",
        "created_at",
        "started_at",
        "ended_at",
        "deadline",
        "timeout_s",
        "max_wait_s",
        "wait",
        "body",
        "result",
        "error",
        "usage",
        "metadata",
        "put_by",
        "max_cost_usd",
        "dedup_key",
        "version",
        "lane",
        "parent",
        "group",
        "session",
        "on_dead",
        "key",
        "cost",
        "held_by",
        "position",
        "code_version",
        "revived",
        "replayed",
        "forked_from",
        "forked_step",
        "imported",
    ]


async def test_what_a_message_may_cost_and_who_put_it_are_said_beside_its_metadata(served):
    put = await served.post("/api/v1/messages", {"agent": "echo", "body": 1, "max_cost_usd": 0.25, "metadata": {"trace": "1"}})
    message = (await served.get(f"/api/v1/messages/{put.json['id']}")).json
    assert (message["max_cost_usd"], message["metadata"]) == (0.25, {"trace": "1"})
    assert message["put_by"].startswith("key_")
    for wrong in ({"max_cost_usd": 0}, {"max_cost_usd": -1}, {"metadata": {"perdure.put_by": "key_x"}}):
        assert (await served.post("/api/v1/messages", {"agent": "echo", "body": 1} | wrong)).status == 422


async def test_what_the_caller_leaves_open_comes_from_the_agent_then_from_the_settings(served):
    by_agent = (await served.get(f"/api/v1/messages/{await served.put('triage', {'ticket': 'x'})}")).json
    assert (by_agent["queue"], by_agent["attempts"], by_agent["timeout_s"], by_agent["lane"]) == ("support", 3, 30.0, "fake/fake-1")
    by_settings = (await served.get(f"/api/v1/messages/{await served.put('echo')}")).json
    assert (by_settings["queue"], by_settings["attempts"], by_settings["timeout_s"], by_settings["priority"]) == ("default", 5, None, 5)
    said = {"queue": "mine", "attempts": 2, "timeout_s": 7, "priority": 0, "metadata": {"a": "b"}, "max_wait_s": 60}
    own = (await served.get(f"/api/v1/messages/{await served.put('triage', {'ticket': 'x'}, **said)}")).json
    assert {name: own[name] for name in said} == said


async def test_the_lane_of_a_chat_is_that_of_the_model_in_its_body(served):
    messages = [{"role": "user", "content": "hi"}]
    named = await served.put("chat", {"model": "small", "messages": messages})
    default = await served.put("chat", {"messages": messages})
    assert [(await served.get(f"/api/v1/messages/{sent}")).json["lane"] for sent in (named, default)] == ["fake/fake-1", "fake/fake-1"]
    unknown = await served.post("/api/v1/messages", {"agent": "chat", "body": {"model": "gpt-nope", "messages": messages}})
    assert (unknown.status, unknown.json["code"]) == (404, "unknown-model")
    odd = await served.post("/api/v1/messages", {"agent": "chat", "body": {"model": 7, "messages": messages}})
    assert odd.status == 422


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"messages": [{"role": "x", "content": 1}]}, "body.messages[0].role: "),
        ({"messages": []}, "body.messages: "),
        ({"messages": [{"role": "user"}]}, "body.messages[0].content: required for role 'user'"),
        ({}, "body.messages: required"),
        ({"model": "", "messages": [{"role": "user", "content": "hi"}]}, "body.model: must not be empty"),
        ([1], "body: a chat request is a JSON object, not an array"),
    ],
)
async def test_a_chat_that_no_model_could_answer_is_refused_at_the_put(served, body, problem):
    answer = await served.post("/api/v1/messages", {"agent": "chat", "body": body})
    assert answer.status == 422
    assert answer.json["errors"][0].startswith(problem)
    among = await served.post("/api/v1/messages", {"messages": [{"agent": "echo", "body": 1}, {"agent": "chat", "body": body}]})
    assert among.json["errors"][0].startswith(f"messages[1].{problem}")
    assert not (await served.get("/api/v1/messages")).json["data"]


async def test_a_chat_of_the_apps_own_takes_what_its_own_schema_says(served):
    card = AgentCard(name="chat", version="2", input_schema={"type": "object", "required": ["room"]})
    await served.store.workers.register(WorkerCard(host="here", pid=2, slots=1, agents=[card]))
    assert (await served.post("/api/v1/messages", {"agent": "chat", "body": {"room": 7}})).status == 202
    assert (await served.post("/api/v1/messages", {"agent": "chat", "body": {"messages": []}})).status == 422


async def test_a_delay_and_a_moment_make_it_wait(served):
    late = (await served.get(f"/api/v1/messages/{await served.put(delay_s=90)}")).json
    assert (late["state"], late["wait"]["why"]) == ("later", "delay")
    dated = (await served.get(f"/api/v1/messages/{await served.put(due_at='2031-05-01T12:00:00+02:00')}")).json
    assert dated["wait"]["until"] == "2031-05-01T10:00:00.000Z"


async def test_many_are_put_at_once_all_or_none(served):
    both = await served.post("/api/v1/messages", {"messages": [{"agent": "echo", "body": n} for n in range(3)]})
    assert both.status == 202
    assert [receipt["duplicate"] for receipt in both.json["data"]] == [False] * 3
    refused = await served.post(
        "/api/v1/messages",
        {"messages": [{"agent": "echo", "body": 1}, {"agent": "triage", "body": {"ticket": 5}}, {"agent": "triage", "body": {}}]},
    )
    assert refused.status == 422
    assert [line.partition(":")[0] for line in refused.json["errors"]] == ["messages[1].body.ticket", "messages[2].body"]
    assert len((await served.get("/api/v1/messages")).json["data"]) == 3


async def test_too_many_at_once_are_refused(serve):
    served = await serve(max_batch=2)
    answer = await served.post("/api/v1/messages", {"messages": [{"agent": "echo", "body": 1}] * 3})
    assert (answer.status, answer.json["code"]) == (413, "input-too-large")
    assert "max_batch" in answer.json["hint"]


async def test_the_same_key_and_body_brings_the_same_id_and_another_body_is_refused(served):
    first = await served.post("/api/v1/messages", {"agent": "echo", "body": {"a": 1, "b": 2}}, headers={"Idempotency-Key": "k1"})
    again = await served.post("/api/v1/messages", raw=b'{"agent":"echo","dedup_key":"k1","body":{"a":  1,"b":2}}')
    assert again.json == {"object": "receipt", "id": first.json["id"], "duplicate": True, "group": None}
    other = await served.post("/api/v1/messages", {"agent": "echo", "body": 2, "dedup_key": "k1"})
    assert (other.status, other.json["code"]) == (422, "dedup-conflict")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Idempotency-Key": "one"}, {"agent": "echo", "body": 1, "dedup_key": "two"}),
        ({"Idempotency-Key": "one"}, {"messages": [{"agent": "echo", "body": 1}]}),
        ({"Idempotency-Key": "x" * 256}, {"agent": "echo", "body": 1}),
        ({"Idempotency-Key": ""}, {"agent": "echo", "body": 1}),
    ],
)
async def test_an_idempotency_key_that_cannot_be_meant_is_refused(served, headers, body):
    assert (await served.post("/api/v1/messages", body, headers=headers)).status == 422


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"agent": "n o"}, "agent: must be letters, digits and `_ . : -` only"),
        ({"dedup_key": "schlüssel"}, "dedup_key: must be printable ASCII only"),
        ({"metadata": {"größe": "1"}}, "metadata: a name in it must be printable ASCII only"),
    ],
)
async def test_letters_that_may_not_be_there_are_refused_in_words(served, wrong, said):
    answer = await served.post("/api/v1/messages", {"agent": "echo", "body": 1, **wrong})
    assert answer.status == 422
    assert answer.json["detail"].startswith(said)
    assert "^[" not in answer.text


async def test_an_unknown_agent_is_404_with_the_nearest_name(served):
    answer = await served.post("/api/v1/messages", {"agent": "triaje", "body": {}})
    assert (answer.status, answer.json["code"], answer.json["hint"]) == (404, "unknown-agent", "Did you mean 'triage'?")


async def test_before_any_worker_came_the_hint_says_to_start_one(serve):
    served = await serve(agents=False)
    answer = await served.post("/api/v1/messages", {"agent": "echo", "body": {}})
    assert answer.status == 404
    assert "perdure worker" in answer.json["hint"]


async def test_unregistered_agents_are_taken_where_the_settings_allow_it(serve):
    served = await serve(allow_unregistered=True)
    assert (await served.post("/api/v1/messages", {"agent": "tomorrow", "body": {}})).status == 202


async def test_get_with_wait_answers_as_soon_as_the_message_ends(served):
    sent = await served.put()
    waiting = asyncio.create_task(served.get(f"/api/v1/messages/{sent}?wait=15"))
    while not served.core.feed._listeners:
        await asyncio.sleep(0)
    await served.store.messages.done(await served.lease(), b'{"answer":42}')
    answer = await asyncio.wait_for(waiting, 30)
    assert (answer.json["state"], answer.json["result"]) == ("done", {"answer": 42})


async def test_get_with_wait_answers_what_is_when_the_time_is_over(served):
    answer = await served.get(f"/api/v1/messages/{await served.put()}?wait=0.05")
    assert (answer.status, answer.json["state"]) == (200, "ready")


async def test_many_waiting_callers_share_one_reader_of_the_store(served):
    sent = await served.put()
    waiting = [asyncio.create_task(served.get(f"/api/v1/messages/{sent}?wait=15")) for _ in range(20)]
    while len(served.core.feed._listeners) < 20:
        await asyncio.sleep(0)
    await served.store.messages.cancel(ids.read(sent))
    assert {answer.json["state"] for answer in await asyncio.gather(*waiting)} == {"cancelled"}

    return await served.store.messages.get(ids.read(sent))


async def test_a_stopping_server_sends_waiting_callers_home(served):
    sent = await served.put()
    waiting = asyncio.create_task(served.get(f"/api/v1/messages/{sent}?wait=60"))
    while not served.core.feed._listeners:
        await asyncio.sleep(0)
    served.server.should_exit = True
    answer = await asyncio.wait_for(waiting, 30)
    assert (answer.status, answer.json["state"]) == (200, "ready")


async def test_a_caller_who_hangs_up_is_not_waited_for(served):
    sent = await served.put()
    waiting = asyncio.create_task(served.get(f"/api/v1/messages/{sent}?wait=60"))
    while not served.core.feed._listeners:
        await asyncio.sleep(0)
    waiting.cancel()
    async with asyncio.timeout(5):
        while served.core.feed._listeners:
            await asyncio.sleep(0.001)


async def test_listing_filters_and_pages(served):
    put = [await served.put("echo", n, queue="a" if n % 2 else "b") for n in range(7)]
    page = (await served.get("/api/v1/messages?limit=3")).json
    assert [row["id"] for row in page["data"]] == put[:-4:-1]
    rest = (await served.get(f"/api/v1/messages?limit=100&cursor={page['next_cursor']}")).json
    assert [row["id"] for row in rest["data"]] == put[-4::-1]
    assert rest["next_cursor"] is None
    only = (await served.get("/api/v1/messages?queue=a&state=ready&agent=echo")).json
    assert {row["body"] for row in only["data"]} == {1, 3, 5}


async def test_a_page_of_heavy_messages_ends_early_and_loses_none(served, monkeypatch):
    monkeypatch.setattr("perdure.server.api.messages._PAGE_BYTES", 100)
    monkeypatch.setattr("perdure.server.api.messages._AT_ONCE", 2)
    put = [await served.put("echo", "x" * 80) for _ in range(5)]
    found, cursor = [], ""
    while True:
        page = (await served.get(f"/api/v1/messages?limit=50{cursor}")).json
        found += [row["id"] for row in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == put[::-1]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "state=gone", "cursor=nonsense", "stat=done", "limit=1&limit=2", "wait=61", "queue="]
)
async def test_a_query_that_makes_no_sense_is_refused_with_a_message(served, query):
    answer = await served.get(f"/api/v1/messages?{query}")
    assert answer.status == 422
    assert answer.json["detail"]


async def test_a_misspelt_query_is_refused_with_the_right_spelling(served):
    assert "did you mean 'state'?" in (await served.get("/api/v1/messages?stat=done")).json["detail"]


async def test_a_waiting_message_is_cancelled_and_an_ended_one_is_not(served):
    sent = await served.put()
    assert (await served.post(f"/api/v1/messages/{sent}/cancel")).json["state"] == "cancelled"
    assert (await served.post(f"/api/v1/messages/{sent}/cancel")).status == 200
    other = await served.put()
    await served.store.messages.done(await served.lease(), b"1")
    answer = await served.post(f"/api/v1/messages/{other}/cancel")
    assert (answer.status, answer.json["code"]) == (409, "conflict")


async def test_a_running_message_is_marked_until_its_worker_ends_it(served):
    sent = await served.put()
    lease = await served.lease()
    answer = await served.post(f"/api/v1/messages/{sent}/cancel")
    assert (answer.status, answer.json["state"], answer.json["cancelling"]) == (200, "leased", True)
    await served.store.messages.release(lease)
    found = (await served.get(f"/api/v1/messages/{sent}")).json
    assert (found["state"], found["cancelling"]) == ("cancelled", False)


async def test_a_message_is_signalled_and_shows_for_what_it_waits(served):
    sent = await served.put()
    wait = Wait(why="signal", step=1, events=("signal:approval",))
    await served.store.messages.park(await served.lease(), wait)
    shown = (await served.get(f"/api/v1/messages/{sent}")).json["wait"]
    assert (shown["why"], shown["events"], shown["until"], shown["step"]) == ("signal", ["signal:approval"], None, 1)
    answer = await served.post(f"/api/v1/messages/{sent}/signals", {"name": "approval", "data": {"by": "ann"}, "key": "k"})
    assert (answer.status, answer.json["state"], answer.json["wait"]) == (200, "ready", None)
    again = await served.post(f"/api/v1/messages/{sent}/signals", {"name": "approval", "data": {"by": "bob"}, "key": "k"})
    assert (again.status, again.json["code"]) == (422, "dedup-conflict")


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"name": ""}, 422), ({"name": "a", "more": 1}, 422), ({"name": "a\nb"}, 422), ({"name": "a", "data": None}, 200)],
)
async def test_a_signal_has_a_name_and_nothing_unknown(served, body, status):
    assert (await served.post(f"/api/v1/messages/{await served.put()}/signals", body)).status == status


async def test_what_has_ended_hears_no_signal(served):
    sent = await served.put()
    await served.store.messages.done(await served.lease(), b"1")
    answer = await served.post(f"/api/v1/messages/{sent}/signals", {"name": "approval"})
    assert (answer.status, answer.json["code"]) == (409, "conflict")


async def test_messages_are_put_together_with_one_that_joins_them(served):
    body = {"messages": [{"agent": "echo", "body": n} for n in range(3)], "then": {"agent": "echo", "body": "all"}, "group_name": "night"}
    receipts = (await served.post("/api/v1/messages", body)).json["data"]
    [made] = {receipt["group"] for receipt in receipts}
    group = (await served.get(f"/api/v1/groups/{made}")).json
    assert (group["object"], group["name"], group["open"], group["total"], group["left"]) == ("group", "night", False, 3, 3)
    assert (await served.get(f"/api/v1/messages/{group['then']}")).json["wait"]["events"][0].startswith("group:")
    for _ in range(3):
        await served.store.messages.done(await served.lease(), b'"good"')
    group = (await served.get(f"/api/v1/groups/{made}")).json
    assert (group["done"], group["left"], group["ended_at"] is None) == (3, 0, False)
    assert (await served.get(f"/api/v1/messages/{group['then']}")).json["state"] == "ready"
    page = (await served.get(f"/api/v1/groups/{made}/members?limit=2")).json
    assert [(one["object"], one["state"], one["result"]) for one in page["data"]] == [("member", "done", "good")] * 2
    rest = (await served.get(f"/api/v1/groups/{made}/members?cursor={page['next_cursor']}")).json
    assert (len(rest["data"]), rest["next_cursor"]) == (1, None)


async def test_an_open_group_takes_more_and_is_closed(served):
    first = await served.post("/api/v1/messages", {"messages": [{"agent": "echo", "body": 1}], "group_name": "long", "open": True})
    group = first.json["data"][0]["group"]
    await served.post("/api/v1/messages", {"messages": [{"agent": "echo", "body": 2}], "group": group})
    closed = (await served.post(f"/api/v1/groups/{group}/close")).json
    assert (closed["total"], closed["open"]) == (2, False)
    late = await served.post("/api/v1/messages", {"messages": [{"agent": "echo", "body": 3}], "group": group})
    assert (late.status, late.json["code"]) == (409, "conflict")


@pytest.mark.parametrize("more", [{"open": True}, {"group": "grp_0000000000001", "group_name": "x"}, {"group": "msg_0000000000001"}])
async def test_a_group_is_begun_or_added_to_and_not_both(served, more):
    assert (await served.post("/api/v1/messages", {"messages": [{"agent": "echo", "body": 1}], **more})).status == 422


async def test_there_is_no_group_that_nobody_put(served):
    for path in ("", "/members"):
        assert (await served.get(f"/api/v1/groups/grp_0000000000001{path}")).status == 404
    assert (await served.get("/api/v1/groups/nonsense")).status == 404


async def test_what_went_wrong_is_listed(served):
    sent = await served.put()
    await served.store.messages.retry(await served.lease(), AgentFailed("it broke").facts(), at=served.clock.now() + 5)
    [attempt] = (await served.get(f"/api/v1/messages/{sent}/attempts")).json["data"]
    assert (attempt["object"], attempt["n"], attempt["kind"], attempt["error"]["message"]) == ("attempt", 1, "retry", "it broke")


async def test_a_body_is_kept_as_it_was_meant(served):
    body = {"text": "ü🎈\t\n\\u0000 is fine when escaped", "n": [1, 2.5, -3, 10**20, 1e-7], "none": None, "deep": [[[{}]]]}
    kept = (await served.get(f"/api/v1/messages/{await served.put('echo', body)}")).json["body"]
    assert kept == json.loads(json.dumps(body))


@pytest.mark.parametrize("field", ["deadline", "due_at"])
@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_moment_beyond_the_calendar_is_refused_and_harms_no_list(served, field, when):
    answer = await served.post("/api/v1/messages", {"agent": "echo", "body": {}, field: when})
    assert answer.status == 422
    assert answer.json["errors"][0].startswith(f"{field}: ")
    assert (await served.get("/api/v1/messages")).status == 200
