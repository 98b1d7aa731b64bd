from __future__ import annotations

import pytest

from perdure.agents.journal import Intent, StepKey, StepKind
from perdure.errors.base import OutcomeUnknown
from perdure.messages.message import Wait
from perdure.resources.usage import Usage


def intent(number, name, *, kind=StepKind.TOOL, **more):
    return Intent(number=number, key=StepKey("outer/inner", kind, name, "0f" * 16, 0), request=b'{"order":1}', **more)


async def uncertain(served):
    """A message that waits for a person's word on its second step."""
    sent = await served.put()
    lease = await served.lease()
    await served.store.journal.intend(lease, intent(1, "ask", kind=StepKind.LLM))
    await served.store.journal.record(lease, 1, b'"yes"', usage=Usage(calls=1, input_tokens=3))
    await served.store.journal.intend(lease, intent(2, "refund", tool_version="v1"))
    error = OutcomeUnknown("the tool 'refund' was under way when its worker died").facts()
    await served.store.messages.park(lease, Wait(why="outcome-unknown", step=2, error=error))
    return sent


async def test_steps_are_listed_with_all_that_is_known_of_them(served):
    sent = await uncertain(served)
    [first, second] = (await served.get(f"/api/v1/messages/{sent}/steps")).json["data"]
    assert " ".join(first) == (
        "object number kind scope name n state attempt tries ambiguous began_at ended_at until idempotent diverged tool_version request"
        " result error usage lane failed_tries decided_by copied"
    )
    assert (first["kind"], first["name"], first["scope"], first["state"], first["result"]) == ("llm", "ask", "outer/inner", "done", "yes")
    assert first["usage"] == {
        "calls": 1,
        "input_tokens": 3,
        "output_tokens": None,
        "cached_tokens": None,
        "reasoning_tokens": None,
        "paid_again": 0,
        "cost_usd": None,
        "unpriced": 0,
        "reckoned_usd": 0.0,
        "hedged": 0,
    }
    assert (second["state"], second["result"], second["request"], second["tool_version"]) == ("intent", None, {"order": 1}, "v1")
    message = (await served.get(f"/api/v1/messages/{sent}")).json
    assert (message["state"], message["wait"]["why"], message["wait"]["step"]) == ("waiting", "outcome-unknown", 2)
    assert message["wait"]["error"]["code"] == "outcome-unknown"


@pytest.mark.parametrize(
    ("decision", "state", "step"), [("happened", "ready", "done"), ("run-again", "ready", "again"), ("bury", "dead", "intent")]
)
async def test_a_decision_ends_the_wait(served, decision, state, step):
    sent = await uncertain(served)
    body = {"decision": decision} | ({"result": {"refunded": True}} if decision == "happened" else {})
    answer = await served.post(f"/api/v1/messages/{sent}/steps/2/decision", body)
    assert (answer.status, answer.json["state"]) == (200, state)
    decided = (await served.get(f"/api/v1/messages/{sent}/steps")).json["data"][1]
    assert decided["state"] == step
    assert decided["decided_by"].startswith("key_")
    assert decided["result"] == body.get("result")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("steps/1/decision", {"decision": "happened"}, 409),
        ("steps/9/decision", {"decision": "happened"}, 404),
        ("steps/0/decision", {"decision": "happened"}, 404),
        ("steps/two/decision", {"decision": "happened"}, 404),
        ("steps/99999999999999999999/decision", {"decision": "happened"}, 404),
        ("steps/2/decision", {"decision": "maybe"}, 422),
        ("steps/2/decision", {"decision": "bury", "result": 1}, 422),
        ("steps/2/decision", {}, 422),
        ("steps/2/decision", [], 422),
    ],
)
async def test_a_decision_that_cannot_be_is_refused_and_changes_nothing(served, path, body, status):
    sent = await uncertain(served)
    answer = await served.post(f"/api/v1/messages/{sent}/{path}", body)
    assert answer.status == status, answer.text
    assert (await served.get(f"/api/v1/messages/{sent}")).json["state"] == "waiting"


async def test_a_second_decision_is_too_late(served):
    sent = await uncertain(served)
    await served.post(f"/api/v1/messages/{sent}/steps/2/decision", {"decision": "run-again"})
    assert (await served.post(f"/api/v1/messages/{sent}/steps/2/decision", {"decision": "bury"})).status == 409
