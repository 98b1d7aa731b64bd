from __future__ import annotations

import pytest

from perdure.errors.base import AgentFailed, ContextTooLong, Evidence


@pytest.fixture
async def dead(served):
    sent = await served.put(queue="mail")
    await served.store.messages.retry(await served.lease(), AgentFailed("first").facts(), at=served.clock.now())
    served.clock.pass_by(seconds=1)
    await served.store.messages.tend()
    error = ContextTooLong("too long for sk-secretsecretsecret", hint="Shorten it.", evidence=Evidence(status=400, provider="qwen")).facts()
    await served.store.messages.bury(await served.lease(), error)
    return sent


async def test_dead_letters_are_listed_by_error(served, dead):
    await served.put()
    assert [row["id"] for row in (await served.get("/api/v1/dead-letters")).json["data"]] == [dead]
    assert (await served.get("/api/v1/dead-letters?code=provider-context-length&queue=mail&agent=echo")).json["data"]
    assert not (await served.get("/api/v1/dead-letters?code=agent-failed")).json["data"]


async def test_a_dead_letter_tells_of_every_attempt_and_no_secret(served, dead):
    letter = (await served.get(f"/api/v1/dead-letters/{dead}")).json
    assert [(attempt["n"], attempt["kind"]) for attempt in letter["attempts_log"]] == [(1, "retry"), (2, "bury")]
    assert letter["error"]["message"] == "too long for [redacted]"
    assert letter["error"]["evidence"] == {"status": 400, "provider": "qwen"}
    assert (letter["error"]["hint"], letter["error"]["retryable"]) == ("Shorten it.", False)


async def test_a_revived_letter_is_ready_again(served, dead):
    answer = await served.post(f"/api/v1/dead-letters/{dead}/revive")
    assert (answer.status, answer.json["state"], answer.json["revived"], answer.json["attempt"]) == (200, "ready", 1, 0)
    assert (await served.post(f"/api/v1/dead-letters/{dead}/revive")).status == 409


async def test_what_is_not_dead_is_no_dead_letter(served):
    sent = await served.put()
    answer = await served.get(f"/api/v1/dead-letters/{sent}")
    assert answer.status == 404
    assert "'ready'" in answer.json["detail"]
    assert (await served.get("/api/v1/dead-letters/msg_0000000000000")).status == 404
