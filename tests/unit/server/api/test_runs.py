"""Forks, exports and imports over HTTP."""

from __future__ import annotations

import json

import pytest

from perdure.agents.journal import Intent, StepKey, StepKind
from perdure.messages import ids
from perdure.messages.message import Wait
from perdure.resources.usage import Usage
from perdure.security.audit import DeedFilter
from perdure.testing.conversing import said

SECRET = "sk-proj-0123456789abcdef"


def intent(number, name, *, kind=StepKind.LLM, request=b"[1]", **more):
    return Intent(number=number, key=StepKey("", kind, name, "0f" * 16, 0), request=request, **more)


async def run(served, *, end=True, **put):
    """A run of two answered calls and one tool under way."""
    sent = await served.put(**put)
    lease = await served.lease()
    journal = served.store.journal
    for number, request in ((1, said("hello", model="m")), (2, said("hello", "you", f"my key is {SECRET}", model="m"))):
        await journal.intend(lease, intent(number, f"ask {number}", request=request))
        await journal.record(lease, number, b'{"text":"%d"}' % number, usage=Usage(calls=1, input_tokens=5))
    await journal.intend(lease, intent(3, "refund", kind=StepKind.TOOL))
    if end:
        await served.store.messages.done(lease, b'{"token":"%b"}' % SECRET.encode())
    return sent, lease


async def test_a_fork_is_a_new_message_with_the_steps_before(served):
    sent, _ = await run(served, metadata={"k": "v"})

    answer = await served.post(f"/api/v1/messages/{sent}/fork", {"from_step": 3})

    fork = answer.json
    assert (answer.status, answer.headers["location"]) == (202, f"/api/v1/messages/{fork['id']}")
    assert (fork["state"], fork["forked_from"], fork["forked_step"], fork["metadata"]) == ("ready", sent, 3, {"k": "v"})
    steps = (await served.get(f"/api/v1/messages/{fork['id']}/steps")).json["data"]
    assert [(step["number"], step["copied"], step["result"]) for step in steps] == [(1, True, {"text": "1"}), (2, True, {"text": "2"})]
    [deed] = (await served.store.audit.list(DeedFilter())).deeds
    assert (deed.action, deed.target, deed.details) == ("run.fork", fork["id"], {"original": sent, "step": 3})


async def test_a_fork_may_have_another_body_that_its_agent_takes(served):
    sent, _ = await run(served, agent="triage", body={"ticket": "old"}, version="v1")
    fork = f"/api/v1/messages/{sent}/fork"

    answer = await served.post(fork, {"from_step": 1, "body": {"ticket": "new"}, "priority": 0, "version": None})
    assert (answer.json["body"], answer.json["priority"], answer.json["version"]) == ({"ticket": "new"}, 0, None)
    assert (await served.post(fork, {"from_step": 1})).json["version"] == "v1"
    wrong = await served.post(fork, {"from_step": 1, "body": {"ticket": 7}})
    assert (wrong.status, wrong.json["code"]) == (422, "invalid-input")


@pytest.mark.parametrize(
    ("body", "status"),
    [({"from_step": 5}, 409), ({"from_step": 0}, 422), ({}, 422), ({"from_step": 1, "agent": "other"}, 422), ({"from_step": "1"}, 422)],
)
async def test_a_fork_that_cannot_be_is_refused(served, body, status):
    sent, _ = await run(served)

    assert (await served.post(f"/api/v1/messages/{sent}/fork", body)).status == status


async def test_an_export_is_as_long_as_the_conversation_and_has_no_secrets(served):
    sent, _ = await run(served, metadata={"k": "v"})

    answer = await served.get(f"/api/v1/messages/{sent}/export")

    file = answer.json
    assert (answer.status, file["format"], file["origin"]["message"]) == (200, "perdure.run/1", sent)
    assert SECRET not in answer.text
    assert [(one["after"], one["message"]["content"]) for one in file["said"]] == [(-1, "hello"), (0, "you"), (1, "my key is [redacted]")]
    assert [step.get("asked", {}).get("last") if step.get("asked") else None for step in file["steps"]] == [0, 2, None]
    assert file["run"]["state"] == "done"


async def test_what_was_exported_can_be_imported_to_look_at(served):
    sent, _ = await run(served)
    file = (await served.get(f"/api/v1/messages/{sent}/export")).json

    answer = await served.post("/api/v1/messages/import", file)

    copy = answer.json
    assert (answer.status, copy["state"], copy["imported"], copy["result"]) == (202, "done", True, {"token": "[redacted]"})
    again = (await served.get(f"/api/v1/messages/{copy['id']}/export")).json
    assert [again[name] for name in ("said", "steps", "attempts", "message")] == [
        file[name] for name in ("said", "steps", "attempts", "message")
    ]


@pytest.mark.parametrize(("start", "state"), [(False, "cancelled"), (True, "ready")])
async def test_a_run_that_had_not_ended_goes_on_only_if_asked(served, start, state):
    sent, _ = await run(served, end=False)
    file = (await served.get(f"/api/v1/messages/{sent}/export")).json

    copy = (await served.post(f"/api/v1/messages/import?start={str(start).lower()}", file)).json

    assert copy["state"] == state


async def test_a_question_to_a_person_is_asked_here_too(served):
    sent, lease = await run(served, end=False)
    await served.store.messages.park(lease, Wait(why="outcome-unknown", step=3))
    file = (await served.get(f"/api/v1/messages/{sent}/export")).json

    copy = (await served.post("/api/v1/messages/import?start=true", file)).json

    assert (copy["state"], copy["wait"]["why"], copy["wait"]["step"]) == ("waiting", "outcome-unknown", 3)
    assert (await served.post(f"/api/v1/messages/{copy['id']}/steps/3/decision", {"decision": "run-again"})).json["state"] == "ready"


async def test_a_run_that_goes_on_here_is_checked_like_a_put(served):
    sent, _ = await run(served, end=False, agent="triage", body={"ticket": "t"})
    file = (await served.get(f"/api/v1/messages/{sent}/export")).json

    file["message"]["body"] = {"ticket": 7}
    assert (await served.post("/api/v1/messages/import?start=true", file)).status == 422
    file["message"] |= {"agent": "unheard-of", "body": 1}
    assert (await served.post("/api/v1/messages/import?start=true", file)).status == 404
    assert (await served.post("/api/v1/messages/import", file)).status == 202, "to look at, it need not be known"


def broken(file, path, value):
    """The file with one thing in it changed."""
    changed = json.loads(json.dumps(file))
    *way, last = path
    here = changed
    for name in way:
        here = here[name]
    here[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], "perdure.run/2"),
        (["more"], 1),
        (["message", "agent"], "../../etc"),
        (["message", "priority"], 10),
        (["message", "metadata"], {"k": 1}),
        (["run", "state"], "gone"),
        (["run", "error"], {"code": "x", "category": "agent", "message": "only the dead have one"}),
        (["said", 1, "after"], 1),
        (["said", 1, "after"], 2),
        (["said", 0, "after"], -2),
        (["steps", 0, "asked", "last"], 3),
        (["steps", 0, "asked", "last"], -1),
        (["steps", 0, "asked", "head"], {"messages": [1]}),
        (["steps", 0, "asked", "head"], {}),
        (["steps", 0, "request"], 1),
        (["steps", 0, "number"], 2),
        (["steps", 0, "number"], 0),
        (["steps", 0, "number"], 10**12),
        (["steps", 0, "kind"], "shell"),
        (["steps", 0, "state"], "failed"),
        (["steps", 0, "fingerprint"], "../x"),
        (["steps", 0, "format"], 99),
        (["steps", 0, "began_at"], "9999-12-31T23:59:59.999999-12:00"),
        (["steps", 0, "began_at"], "yesterday"),
        (["steps", 0, "handle"], "resp_1"),
        (["steps", 1, "name"], "ask 1"),
        (["steps", 2, "result"], 1),
        (["steps"], [1]),
        (["attempts"], "many"),
    ],
    ids=lambda one: str(one)[:40],
)
async def test_a_file_that_does_not_hold_together_is_refused(served, path, value):
    sent, _ = await run(served)
    file = (await served.get(f"/api/v1/messages/{sent}/export")).json
    before = await served.store.messages.last_change()

    answer = await served.post("/api/v1/messages/import", broken(file, path, value))

    assert (answer.status, answer.json["code"]) == (422, "invalid-input"), answer.text
    assert await served.store.messages.last_change() == before, "nothing was put"


async def test_an_imported_error_makes_no_foreign_exception(served):
    sent, _ = await run(served)
    file = (await served.get(f"/api/v1/messages/{sent}/export")).json
    error = {"code": "tool-failed", "category": "tool", "message": "m", "type_name": "shutil:Error", "args": ["m"]}
    file["steps"][2] |= {"state": "failed", "error": error}

    copy = (await served.post("/api/v1/messages/import", file)).json

    [*_, step] = await served.store.journal.steps(ids.read(copy["id"]))
    assert (step.error.code, step.error.type_name, step.error.args) == ("tool-failed", None, None)


async def test_each_door_has_its_scope_and_sees_its_own_tenant_only(served):
    sent, _ = await run(served)
    file = (await served.get(f"/api/v1/messages/{sent}/export")).json
    program = await served.new_key("default", ["messages:*", "steps:*"])
    stranger = await served.new_key("other", ["*"])
    steps_only = await served.new_key("default", ["steps:read"])
    fork, export = f"/api/v1/messages/{sent}/fork", f"/api/v1/messages/{sent}/export"

    assert (await served.post(fork, {"from_step": 1}, key=program)).status == 403
    assert (await served.post("/api/v1/messages/import", file, key=program)).status == 403
    assert (await served.get(export, key=program)).status == 200
    assert (await served.get(export, key=steps_only)).status == 403
    assert (await served.post(fork, {"from_step": 1}, key=stranger)).status == 404
    assert (await served.get(export, key=stranger)).status == 404
    assert (await served.post("/api/v1/messages/import?tenant=default", file, key=stranger)).status == 422
    assert (await served.post("/api/v1/messages/import", file, key=stranger)).json["tenant"] == "other"
    assert (await served.post("/api/v1/messages/import?tenant=third", file)).json["tenant"] == "third"


async def test_steps_are_listed_in_pages_where_they_are_large(served):
    sent = await served.put()
    lease = await served.lease()
    for number in range(1, 4):
        await served.store.journal.settle(lease, intent(number, f"n{number}", kind=StepKind.VALUE), b'"' + b"x" * 9_000_000 + b'"')
    path = f"/api/v1/messages/{sent}/steps"

    first = (await served.get(path)).json
    second = (await served.get(f"{path}?cursor={first['next_cursor']}")).json

    assert [step["number"] for step in first["data"]] == [1, 2]
    assert ([step["number"] for step in second["data"]], second["next_cursor"]) == ([3], None)
    assert [step["request"] for step in (await served.get(f"{path}?requests=false")).json["data"]] == [None, None]


async def test_what_replay_saved_is_shown_and_measured(served):
    sent, lease = await run(served, end=False)
    await served.store.journal.replayed(lease, Usage(calls=2, input_tokens=10))

    assert (await served.get(f"/api/v1/messages/{sent}")).json["replayed"]["calls"] == 2
    metrics = (await served.get("/metrics")).text
    assert "perdure_replayed_calls_total 2.0" in metrics
    assert "perdure_replayed_input_tokens_total 10.0" in metrics
