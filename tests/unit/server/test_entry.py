"""What every door does before and after its handler."""

from __future__ import annotations

import io
import json

import pytest

from perdure.errors.base import StoreBusy, StoreFull
from perdure.testing import InMemoryStore


async def test_healthz_asks_for_no_key_and_not_for_the_store(served):
    await served.store.__aexit__(None, None, None)
    answer = await served.get("/healthz", key=None)
    assert (answer.status, answer.json) == (200, {"status": "ok", "waiting_for": None})
    await served.store.__aenter__()


async def test_readyz_says_when_the_store_does_not_answer(served):
    assert (await served.get("/readyz", key=None)).json["status"] == "ready"
    await served.store.__aexit__(None, None, None)
    answer = await served.get("/readyz", key=None)
    assert (answer.status, answer.json["waiting_for"]) == (503, "the store")
    await served.store.__aenter__()


async def test_readyz_of_up_waits_for_its_first_worker(serve):
    served = await serve(needs_worker=True, agents=False)
    answer = await served.get("/readyz", key=None)
    assert (answer.status, answer.json["waiting_for"]) == (503, "the first worker")
    assert (await (await serve(needs_worker=True)).get("/readyz", key=None)).status == 200


async def test_health_can_only_be_read(served):
    answer = await served.post("/healthz", {}, key=None)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert (await served.call("HEAD", "/healthz", key=None)).status == 200


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "no key was sent"),
        ({"authorization": "Basic dXNlcjpwYXNz"}, "no single bearer key"),
        ({"authorization": "Bearer"}, "no single bearer key"),
        ({"authorization": "Bearer nonsense"}, "no Perdure key"),
        ({"authorization": "Bearer pdr_" + "0" * 49}, "no Perdure key"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/messages", "/v1/models", "/metrics", "/api/v1/openapi.json", "/api/v1/nothing", "/v1/nothing"])
async def test_without_a_good_key_nothing_answers(served, path, headers, says):
    answer = await served.get(path, key=None, headers=headers)
    assert answer.status == 401
    assert says in answer.text
    assert "[redacted]" not in answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_good_key_that_is_not_known_is_401(served):
    from perdure.security.keys import make_key

    stranger = make_key("x", tenant="*", scopes=["*"], now=0)[1]
    answer = await served.get("/api/v1/messages", key=stranger)
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    assert stranger not in answer.text


async def test_a_key_without_the_scope_is_403_and_the_scope_is_named(served):
    weak = await served.new_key("*", ["messages:read"])
    assert (await served.get("/api/v1/messages", key=weak)).status == 200
    for method, path, scope in (
        ("POST", "/api/v1/messages", "messages:write"),
        ("GET", "/api/v1/queues", "queues:read"),
        ("GET", "/api/v1/dead-letters", "dead-letters:read"),
        ("POST", "/v1/chat/completions", "chat:write"),
        ("GET", "/metrics", "metrics:read"),
    ):
        answer = await served.call(method, path, {} if method == "POST" else None, key=weak)
        assert answer.status == 403, path
        assert f"'{scope}'" in answer.text


async def test_a_verb_that_a_door_has_not_is_405_and_those_it_has_are_said(served):
    answer = await served.call("PATCH", "/api/v1/keys")
    assert (answer.status, answer.json["code"], answer.headers["allow"]) == (405, "wrong-method", "GET, POST")
    answer = await served.call("DELETE", "/v1/models")
    assert (answer.status, answer.json["error"]["code"]) == (405, "wrong_method")


async def test_a_body_that_is_not_said_to_be_json_is_415(served):
    answer = await served.post("/api/v1/messages", raw=b"agent=echo", headers={"content-type": "application/x-www-form-urlencoded"})
    assert (answer.status, answer.json["code"]) == (415, "wrong-media-type")
    assert "content-type: application/json" in answer.json["hint"]


@pytest.mark.parametrize(("error", "after"), [(StoreBusy("locked"), "1"), (StoreFull("no room"), "5")])
async def test_a_store_in_trouble_is_503_with_a_time_to_come_back(served, monkeypatch, error, after):
    async def fail(*_, **__):
        raise error

    monkeypatch.setattr(type(served.store.messages), "list", fail)
    answer = await served.get("/api/v1/messages")
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, error.code, after)


async def test_a_store_in_trouble_never_says_that_a_key_is_bad(serve):
    class Forgetful(InMemoryStore):
        broken = False

    served = await serve(store=Forgetful())

    async def fail(_):
        raise StoreBusy("locked")

    served.core.gate._keys.by_digest = fail
    for path in ("/api/v1/messages", "/v1/models"):
        answer = await served.get(path)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_a_fault_of_ours_is_500_with_a_number_and_no_traceback(served, monkeypatch, caplog):
    async def fail(*_, **__):
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr(type(served.store.messages), "list", fail)
    answer = await served.get("/api/v1/messages")
    assert (answer.status, answer.json["code"]) == (500, "internal-error")
    assert "inner secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert answer.json["request_id"] in caplog.text


async def test_every_answer_has_a_number_and_a_callers_own_is_kept(served):
    for path in ("/healthz", "/api/v1/messages", "/v1/models", "/nowhere", "/login"):
        assert (await served.get(path)).headers["x-request-id"].startswith("req_")
    assert (await served.get("/healthz", headers={"x-request-id": "mine-1"})).headers["x-request-id"] == "mine-1"
    for odd in ("a b", "x" * 65, "<script>"):
        assert (await served.get("/healthz", headers={"x-request-id": odd})).headers["x-request-id"].startswith("req_")


async def test_every_answer_is_safe_to_open_in_a_browser(served):
    answer = await served.get("/api/v1/messages")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_problem_has_the_fields_of_rfc_9457_and_ours(served):
    answer = await served.post("/api/v1/messages", {"agent": "triage", "body": {"ticket": 1, "urgency": -1}})
    assert answer.headers["content-type"] == "application/problem+json"
    assert list(answer.json) == ["type", "title", "status", "detail", "code", "hint", "request_id", "errors"]
    assert len(answer.json["errors"]) == 2
    assert answer.json["type"] == "urn:perdure:error:invalid-input"


async def test_fields_of_what_is_not_built_are_refused_by_name(served):
    for field in ("callback_url", "webhook", "webhook_url", "budget", "budget_usd"):
        answer = await served.post("/api/v1/messages", {"agent": "echo", "body": 1, field: "x"})
        assert (answer.status, answer.json["code"]) == (422, "not-yet-built")
        assert f"'{field}'" in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"agnt": "echo", "body": 1}, "did you mean 'agent'?"),
        ({"agent": "echo", "body": 1, "priorty": 2}, "did you mean 'priority'?"),
        ({"agent": "echo", "body": 1, "priority": 10}, "priority: "),
        ({"agent": "echo", "body": 1, "priority": "high"}, "priority: "),
        ({"agent": "echo"}, "`body`"),
        ({"agent": "", "body": 1}, "agent: "),
        ({"agent": "a/../b", "body": 1}, "agent: "),
        ({"agent": "echo\n", "body": 1}, "agent: "),
        ({"agent": "echo", "body": 1, "delay_s": 5, "due_at": "2030-01-01T00:00:00Z"}, "not both"),
        ({"agent": "echo", "body": 1, "due_at": "tomorrow"}, "due_at: "),
        ({"agent": "echo", "body": 1, "due_at": "2030-01-01T00:00:00"}, "due_at: "),
        ({"agent": "echo", "body": 1, "due_at": "9999-12-31T23:59:59-12:00"}, "due_at: "),
        ({"agent": "echo", "body": 1, "deadline": "0001-01-01T00:00:00+23:59"}, "deadline: "),
        ({"agent": "echo", "body": 1, "deadline": "1969-12-31T00:00:00Z"}, "deadline: "),
        ({"agent": "triage", "body": {"ticket": "x", "urgency": -(10**400)}}, "body.urgency"),
        ({"agent": "echo", "body": 1, "metadata": {"a": 1}}, "metadata"),
        ({"agent": "echo", "body": 1, "tenant": "*"}, "tenant: "),
        ({"messages": []}, "messages: "),
        ({"messages": [{"agent": "echo", "body": 1}, {"agent": "echo", "body": 1, "prio": 1}]}, "messages[1]: there is no field 'prio'"),
        ([], "array"),
        ("text", "`str`"),
        (None, "`null`"),
    ],
)
async def test_a_message_that_cannot_be_is_refused_with_its_place_and_nothing_is_put(served, body, says):
    answer = await served.post("/api/v1/messages", raw=json.dumps(body).encode())
    assert answer.status == 422, answer.text
    assert says in answer.json["detail"], answer.json["detail"]
    assert (await served.get("/api/v1/messages")).json["data"] == []


@pytest.mark.parametrize("path", ["/api/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("announced", [True, False])
async def test_ten_megabytes_are_413_said_beforehand_or_sent_in_pieces(served, path, announced):
    big = b'{"agent":"echo","body":"' + b"x" * 10_000_000 + b'"}'

    async def pieces():
        for at in range(0, len(big), 100_000):
            yield big[at : at + 100_000]

    answer = await served.post(path, raw=io.BytesIO(big) if announced else pieces())
    assert answer.status == 413
    assert "4,194,304 bytes" in answer.text
    assert served.provider.count == 0
    assert (await served.get("/api/v1/messages")).json["data"] == []


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (b"not json", (400,)),
        (b"", (400,)),
        (b"[" * 10_000 + b"]" * 10_000, (400,)),
        (b'{"agent":"echo","body":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, (400,)),
        (b'{"agent":"echo","body":"\\ud800","messages":[{"role":"user","content":"\\ud800"}]}', (400,)),
        (b'{"agent":"echo","body":"\\u0000","messages":[{"role":"user","content":"\\u0000"}]}', (400, 422)),
        (b'{"agent":"echo","body":"\xff"}', (400,)),
        (b'{"agent":"../../etc/passwd","body":1}', (400, 422)),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/messages", "/v1/chat/completions"])
async def test_bad_input_is_the_callers_fault_and_is_told_what_to_do(served, caplog, path, raw, statuses):
    answer = await served.post(path, raw=raw)
    assert answer.status in statuses
    said = answer.json.get("detail") or answer.json["error"]["message"]
    assert len(said) > 10
    assert "Traceback" not in answer.text + caplog.text
    assert served.provider.count == 0
    assert (await served.get("/api/v1/messages")).json["data"] == []
