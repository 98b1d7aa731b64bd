"""The unmodified `openai` package as a client of batches, with a worker behind the server."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from openai.types import Batch

from perdure.agents.chat import chat
from perdure.agents.registry import App
from perdure.messages.message import State
from perdure.messages.store import Filter
from perdure.worker.worker import Worker

CHAT, TEXT, VECTORS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("perdure.server.openai.advancing.LOOK_S", 0.02)
    monkeypatch.setattr("perdure.server.openai.advancing._IDLE_S", 0.02)


@pytest.fixture
async def client(way):
    async with openai.AsyncOpenAI(base_url=way.url, api_key=way.key, max_retries=0) as made:
        yield made


@pytest.fixture
async def working(way):
    """Call it, and a worker lives until the test ends."""
    stop, tasks = asyncio.Event(), []

    def work() -> None:
        worker = Worker(way.served.store, App([chat]), way.served.core.models, grace_s=1.0)
        tasks.append(asyncio.create_task(worker.run(stop)))

    yield work
    stop.set()
    await asyncio.gather(*tasks)


def line(custom_id, url=CHAT, **body):
    asked = body or {"model": "m", "messages": [{"role": "user", "content": f"{custom_id} + 1"}]}
    return {"custom_id": str(custom_id), "method": "POST", "url": url, "body": asked}


def written(lines):
    return b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines) + b"\n"


async def ordered(client, lines, *, endpoint=CHAT, **more):
    file = await client.files.create(file=("lines.jsonl", written(lines)), purpose="batch")
    return await client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window=more.pop("window", "24h"), **more)


async def reached(client, batch, *states):
    async with asyncio.timeout(15):
        while (batch := await client.batches.retrieve(batch.id)).status not in states:
            await asyncio.sleep(0.01)
        return batch


async def read(client, file):
    return [] if file is None else [json.loads(one) for one in (await client.files.content(file)).text.splitlines()]


async def test_a_batch_ends_with_an_answer_or_an_error_for_each_line(way, client, working):
    working()
    lines = [line(n) for n in range(1, 6)] + [line("bad", messages="no list", model="m")]
    ordered_batch = await ordered(
        client, lines, metadata={"of": "me", "priority": "2"}, output_expires_after={"anchor": "created_at", "seconds": 3600}
    )
    batch = await reached(client, ordered_batch, "completed")
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (6, 5, 1)
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at < batch.expires_at
    assert (batch.metadata, batch.model, batch.errors) == ({"of": "me", "priority": "2"}, "m", None)
    answers, errors = await read(client, batch.output_file_id), await read(client, batch.error_file_id)
    assert {one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"] for one in answers} == {
        str(n): str(n + 1) for n in range(1, 6)
    }  # fmt: skip
    assert {(one["response"]["status_code"], one["error"]) for one in answers} == {(200, None)}
    [bad] = errors
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("bad", 400)
    assert bad["response"]["body"]["error"]["type"] == "invalid_request_error"
    file = await client.files.retrieve(batch.output_file_id)
    assert (file.purpose, file.expires_at - file.created_at) == ("batch_output", pytest.approx(3600, abs=5))
    answer = await way.served.get(f"/v1/batches/{batch.id}")
    Batch.model_validate_json(answer.raw, strict=True)
    messages = (await way.served.store.messages.list(Filter())).views
    assert {(view.message.priority, view.message.agent, view.message.metadata["batch"]) for view in messages} == {(2, "chat", batch.id)}
    assert way.first.count() == 5
    assert [one.id async for one in client.batches.list(limit=1)] == [batch.id]


async def test_a_line_may_ask_for_a_response_which_is_kept_as_any_other(way, client, working):
    working()
    lines = [
        line("kept", RESPONSES, model="m", input="1 + 1", metadata={"of": "me"}),
        line("passing", RESPONSES, model="m", input="2 + 1", store=False),
    ]
    batch = await reached(client, await ordered(client, lines, endpoint=RESPONSES), "completed")
    kept, passing = [one["response"]["body"] for one in await read(client, batch.output_file_id)]
    for found in (kept, passing):
        openai.types.responses.Response.model_validate_json(json.dumps(found), strict=True)
        assert (found["status"], found["background"]) == ("completed", False)
    assert [found["output"][0]["content"][0]["text"] for found in (kept, passing)] == ["2", "3"]
    again = await client.responses.retrieve(kept["id"])
    assert (again.to_dict(), again.metadata) == (kept, {"of": "me"})
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(passing["id"])
    further = await client.responses.create(model="m", input="and 2 + 2", previous_response_id=kept["id"])
    assert further.previous_response_id == kept["id"]
    assert way.first.count() == 3


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "1", "background": True}, "body.background"),
        ({"input": "1", "previous_response_id": "resp_1"}, "body.previous_response_id"),
        ({"input": "1", "tools": [{"type": "web_search"}]}, "body.tools[0].type"),
        ({"model": "m"}, "body.input"),
    ],
)
async def test_a_line_that_asks_for_no_response_that_could_be_made_fails_the_batch_before_it_costs_anything(way, client, body, param):
    batch = await reached(client, await ordered(client, [line("bad", RESPONSES, **body)], endpoint=RESPONSES), "failed")
    [problem] = batch.errors.data
    assert (problem.line, problem.param, way.first.count()) == (1, param, 0)


@pytest.mark.parametrize(("endpoint", "body"), [(TEXT, {"prompt": "once"}), (VECTORS, {"input": ["a", "b"], "encoding_format": "float"})])
async def test_lines_ask_for_texts_and_vectors_too(client, working, endpoint, body):
    working()
    lines = [line("good", endpoint, model="m", **body), line("bad", endpoint, model="m")]
    batch = await reached(client, await ordered(client, lines, endpoint=endpoint), "completed")
    [good], [bad] = await read(client, batch.output_file_id), await read(client, batch.error_file_id)
    found = good["response"]["body"]
    kind = openai.types.Completion if endpoint == TEXT else openai.types.CreateEmbeddingResponse
    kind.model_validate_json(json.dumps(found), strict=True)
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("bad", 400)


@pytest.mark.parametrize(
    ("lines", "code", "at", "param"),
    [
        ([], "empty_file", None, None),
        ([line(1), b"{"], "invalid_json_line", 2, None),
        ([line(1), b"", line(1)], "duplicate_custom_id", 3, "custom_id"),
        ([line(1, TEXT)], "invalid_request", 1, "url"),
        ([line(1, model="m", messages=[], stream=True)], "invalid_request", 1, "body.stream"),
        ([line(1, model="nobody", messages=[])], "model_not_found", 1, "body.model"),
        ([{"custom_id": "1"}], "invalid_request", 1, None),
    ],
)
async def test_a_file_with_a_line_that_is_none_fails_before_anything_is_put(way, client, lines, code, at, param):
    batch = await reached(client, await ordered(client, lines), "failed")
    [error] = batch.errors.data
    assert (error.code, error.line) == (code, at)
    assert param is None or error.param == param
    assert (batch.failed_at is None, batch.output_file_id) == (False, None)
    assert (await way.served.store.messages.list(Filter())).views == []


async def test_a_batch_that_is_called_off_keeps_what_was_answered(way, client, working):
    batch = await ordered(client, [line(n) for n in range(4)])
    async with asyncio.timeout(10):
        while len(leases := await _leased(way, 1)) != 1:
            await asyncio.sleep(0.01)
    result = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "paid"}, "finish_reason": "stop"}]}
    called = await client.batches.cancel(batch.id)
    assert (called.status, called.cancelling_at is None) == ("cancelling", False)
    await way.served.store.messages.done(leases[0], json.dumps(result).encode())
    batch = await reached(client, batch, "cancelled")
    answers, errors = await read(client, batch.output_file_id), await read(client, batch.error_file_id)
    assert [one["response"]["body"]["choices"][0]["message"]["content"] for one in answers] == ["paid"]
    assert [one["error"]["code"] for one in errors] == ["batch_cancelled"] * 3
    assert (await client.batches.cancel(batch.id)).status == "cancelled"


async def test_what_is_not_done_when_the_time_is_up_expires(way, client, monkeypatch):
    batch = await ordered(client, [line(n) for n in range(3)], window="30m")
    batch = await reached(client, batch, "in_progress")
    clock = type(way.served.core.clock)
    before = clock.now
    monkeypatch.setattr(clock, "now", lambda self: before(self) + 3600)
    batch = await reached(client, batch, "expired")
    assert [one["error"]["code"] for one in await read(client, batch.error_file_id)] == ["batch_expired"] * 3
    assert (batch.output_file_id, batch.request_counts.failed, batch.expired_at is None) == (None, 3, False)


async def test_lines_that_were_put_before_a_crash_are_not_put_again(way, client, monkeypatch):
    monkeypatch.setattr("perdure.server.openai.lines._AT_ONCE", 2)
    store = way.served.store
    kind, puts = type(store.messages), []
    put = kind.put

    async def dies(self, messages, *, group=None):
        receipts = await put(self, messages, group=group)
        puts.append(len(messages))
        if len(puts) == 2:
            raise OSError("the answer is lost")
        return receipts

    monkeypatch.setattr(kind, "put", dies)
    monkeypatch.setattr("perdure.server.openai.advancing.HOLD_S", 0.01)
    monkeypatch.setattr("perdure.worker.duties._TROUBLE_S", 0.01)
    batch = await ordered(client, [line(n) for n in range(5)])
    async with asyncio.timeout(10):
        while (await store.batches.get(batch.id, tenant=None)).put != 5:
            await asyncio.sleep(0.01)
    assert sum(puts) == 7  # two of them a second time
    views = (await store.messages.list(Filter(state=State.READY))).views
    assert sorted(view.message.metadata["custom_id"] for view in views) == ["0", "1", "2", "3", "4"]
    assert (await client.batches.retrieve(batch.id)).request_counts.total == 5


async def test_an_order_with_a_key_is_one_batch_also_where_a_crash_lost_the_answer(way, client):
    file = await client.files.create(file=("lines.jsonl", written([line(1)])), purpose="batch")
    order = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", "extra_headers": {"Idempotency-Key": "monday"}}
    first = await client.batches.create(**order)
    assert (await client.batches.create(**order)).id == first.id
    way.served.store._contents.calls.clear()  # as if the server had died before it was recorded
    assert (await client.batches.create(**order)).id == first.id
    assert [one.id async for one in client.batches.list()] == [first.id]


async def test_an_order_that_cannot_be_is_refused_and_a_tenant_sees_its_own_alone(way, client):
    file = await client.files.create(file=("lines.jsonl", written([line(1)])), purpose="user_data")
    for wrong in (
        {"input_file_id": file.id},
        {"input_file_id": "file-none"},
        {"completion_window": "soon"},
        {"metadata": {"priority": "x"}},
    ):
        good = await client.files.create(file=("lines.jsonl", written([line(1)])), purpose="batch")
        with pytest.raises(openai.BadRequestError):
            await client.batches.create(**{"input_file_id": good.id, "endpoint": CHAT, "completion_window": "24h", **wrong})
    mine = await ordered(client, [line(1)])
    other = await way.served.new_key(tenant="other")
    async with openai.AsyncOpenAI(base_url=way.url, api_key=other, max_retries=0) as stranger:
        assert [one async for one in stranger.batches.list()] == []
        for look in (stranger.batches.retrieve, stranger.batches.cancel):
            with pytest.raises(openai.NotFoundError):
                await look(mine.id)
        with pytest.raises(openai.BadRequestError):
            await stranger.batches.create(input_file_id=mine.input_file_id, endpoint=CHAT, completion_window="24h")


async def _leased(way, limit):
    store = way.served.store
    return await store.messages.lease(await store.messages.routes(), limit=limit, worker=way.served.worker)
