"""The unmodified `openai` package, blocking and not, as a client of responses."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from openai.types.responses import Response, ResponseItem, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from perdure.errors.base import ContextTooLong
from perdure.messages.retention import Keep
from perdure.testing import Fault
from perdure.wire.answers import completion

EVENTS, ITEM = TypeAdapter(ResponseStreamEvent), TypeAdapter(ResponseItem)
PATH = "/v1/responses"
SUM = "What is 2 + 3?"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    "strict": True,
}


@pytest.fixture
async def client(way):
    async with openai.AsyncOpenAI(base_url=way.url, api_key=way.key, max_retries=0) as made:
        yield made


def checked(raw):
    """Every field against OpenAI's own types, strictly, as it went over the wire."""
    return Response.model_validate_json(raw, strict=True)


def events_of(text):
    """Every event against OpenAI's own types, numbered without a gap, under its own name."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block and not block.startswith(":")]
    for name, data in blocks:
        assert name.removeprefix("event: ") == json.loads(data.removeprefix("data: "))["type"]
    return [EVENTS.validate_json(data.removeprefix("data: "), strict=True) for _, data in blocks]


async def leased(served):
    """Wait for the message, as a worker does."""
    async with asyncio.timeout(10):
        while not (routes := await served.store.messages.routes()):
            await asyncio.sleep(0.002)
        while not (leases := await served.store.messages.lease(routes, limit=1, worker=served.worker)):
            await asyncio.sleep(0.002)
    return leases[0]


async def answer_of(served, result):
    """Do what a worker does."""
    lease = await leased(served)
    await served.store.messages.done(lease, json.dumps(result).encode())
    return lease


AT_LAST = completion(model="m-1", message={"role": "assistant", "content": "at last"}, usage={"prompt_tokens": 1, "completion_tokens": 2})


async def test_a_whole_response_has_openais_types_field_by_field_and_can_be_asked_for_again(way):
    body = {"model": "m", "input": SUM, "metadata": {"a": "b"}, "instructions": "Be short.", "top_logprobs": 0, "user": "u"}
    answer = await way.served.post(PATH, {**body, "include": ["message.output_text.logprobs"]})
    assert answer.status == 200, answer.text
    found = checked(answer.raw)
    assert (found.output_text, found.status, found.instructions, found.metadata) == ("5", "completed", "Be short.", {"a": "b"})
    assert found.output[0].content[0].logprobs[0].token == "5"
    assert found.usage.total_tokens == found.usage.input_tokens + found.usage.output_tokens > 0
    [asked] = way.first.bodies()
    assert asked["messages"] == [{"role": "system", "content": "Be short."}, {"role": "user", "content": SUM}]
    assert (await way.served.get(f"{PATH}/{found.id}")).json == answer.json
    assert "perdure-lane" in answer.headers


async def test_every_event_of_a_stream_has_openais_types_and_together_they_are_the_response_that_is_kept(way):
    answer = await way.served.post(PATH, {"model": "m", "input": SUM, "stream": True})
    found = events_of(answer.text)
    assert [event.sequence_number for event in found] == list(range(len(found)))
    kinds = [event.type.removeprefix("response.") for event in found]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert set(kinds[4:-4]) == {"output_text.delta"}
    assert "".join(event.delta for event in found if event.type == "response.output_text.delta") == found[-1].response.output_text == "5"
    kept = await way.served.get(f"{PATH}/{found[-1].response.id}")
    assert checked(kept.raw) == found[-1].response


async def test_a_blocking_client_is_served_whole_and_in_pieces(way):
    def work():
        with openai.OpenAI(base_url=way.url, api_key=way.key, max_retries=0) as client:
            whole = client.responses.create(model="m", input=SUM)
            with client.responses.stream(model="m", input=SUM) as stream:
                stream.until_done()
                return whole.output_text, stream.get_final_response().output_text

    assert await way.beside(work) == ("5", "5")


@pytest.mark.parametrize("stored", [True, False], ids=["by its id", "all said again"])
async def test_tools_are_called_and_their_results_taken(way, client, stored):
    asked = [{"role": "user", "content": "Use get_weather, please."}]
    whole = await client.responses.create(model="m", input=asked, tools=[WEATHER], store=stored)
    async with client.responses.stream(model="m", input=asked, tools=[WEATHER]) as stream:
        streamed = await stream.get_final_response()
    [call] = whole.output
    assert (call.type, call.name, json.loads(call.arguments).keys()) == ("function_call", "get_weather", {"city"})
    assert streamed.output[0].arguments == call.arguments
    told = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    if stored:
        after = await client.responses.create(model="m", input=[told], tools=[WEATHER], previous_response_id=whole.id)
    else:
        after = await client.responses.create(model="m", input=[*asked, call, told], tools=[WEATHER], store=False)
    assert after.output_text == "The tool says: sunny"
    assert [one["role"] for one in way.first.bodies()[-1]["messages"]] == ["user", "assistant", "tool"]


async def test_an_answer_of_a_schema_is_parsed_by_the_client(client):
    class City(BaseModel):
        name: str
        people: int

    found = await client.responses.parse(model="m", input="A city.", text_format=City)
    assert isinstance(found.output_parsed, City)


async def test_pictures_and_unknown_parameters_reach_the_upstream_and_what_is_ours_does_not(way, client):
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}
    more = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 5}
    asked = [{"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, picture]}]
    await client.responses.create(model="m", input=asked, temperature=0.5, max_output_tokens=9, metadata={"a": "b"}, extra_body=more)
    [body] = way.first.bodies()
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": picture["image_url"], "detail": "low"}},
    ]  # fmt: skip
    assert {name: body[name] for name in more} == more
    assert (body["temperature"], body.get("max_tokens", body.get("max_completion_tokens"))) == (0.5, 9)
    assert not {"input", "metadata", "store", "stream", "tools", "text"} & set(body)


async def test_files_that_were_handed_in_are_sent_along_and_named_again(way, client):
    pdf, png = [await client.files.create(file=(name, b"AAA"), purpose="user_data") for name in ("a.pdf", "b.png")]
    parts = [{"type": "input_file", "file_id": pdf.id}, {"type": "input_image", "file_id": png.id, "detail": "low"}]
    asked = [{"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, *parts]}]
    first = await client.responses.create(model="m", input=asked)
    await client.responses.create(model="m", input="And now?", previous_response_id=first.id)
    for body in way.first.bodies():
        assert body["messages"][0]["content"][1:] == [
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUFB"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUFB", "detail": "low"}},
        ]
    listed = await client.responses.input_items.list(first.id)
    assert listed.data[0].content[1].file_id == pdf.id
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="m", input=[{"role": "user", "content": [{"type": "input_file", "file_id": "file-none"}]}])
    assert refused.value.param == "input[0].content[0].file_id"


async def test_files_larger_than_a_request_may_be_are_refused(way, client):
    large = await client.files.create(file=("a.txt", b"x" * (4 * 1024 * 1024 + 1)), purpose="user_data")
    with pytest.raises(openai.APIStatusError) as refused:
        await client.responses.create(model="m", input=[{"role": "user", "content": [{"type": "input_file", "file_id": large.id}]}])
    assert (refused.value.status_code, way.first.count()) == (413, 0)


async def test_a_conversation_that_is_larger_than_four_requests_is_not_gone_on_from(way, client, monkeypatch):
    monkeypatch.setattr("perdure.server.openai.responses._MOST_REQUESTS", 0.001)  # of 4 MiB
    first = await client.responses.create(model="m", input="1 + 1 " * 1000)
    with pytest.raises(openai.APIStatusError) as refused:
        await client.responses.create(model="m", input=SUM, previous_response_id=first.id)
    assert (refused.value.status_code, refused.value.param, way.first.count()) == (413, "previous_response_id", 1)


@pytest.mark.parametrize("within", [{"reasoning": {"mystery": 1}}, {"text": {"mystery": 1}}])
async def test_a_part_of_a_request_that_no_chat_could_say_is_refused_and_not_dropped(way, client, within):
    with pytest.raises(openai.BadRequestError, match="mystery"):
        await client.responses.create(model="m", input="hello", **within)
    assert way.first.count() == 0


async def test_what_a_response_answers_is_listed_in_pages_of_openais_types(client, way):
    first = await client.responses.create(model="m", input=[{"role": "user", "content": str(n)} for n in range(5)])
    pages = [item async for item in client.responses.input_items.list(first.id, limit=2, order="asc")]
    assert [item.content[0].text for item in pages] == ["0", "1", "2", "3", "4"]
    included = await client.responses.retrieve(first.id, include=["message.output_text.logprobs", "reasoning.encrypted_content"])
    assert included.id == first.id, "what is kept is shown, asked for or not"
    assert (await client.responses.input_items.list(first.id, include=["message.input_image.image_url"])).data
    newest = await way.served.get(f"{PATH}/{first.id}/input_items?limit=1")
    for item in newest.json["data"]:
        ITEM.validate_json(json.dumps(item), strict=True)
    assert (newest.json["data"][0]["content"][0]["text"], newest.json["has_more"]) == ("4", True)


async def test_what_is_deleted_or_was_never_stored_is_404_and_cannot_be_gone_on_from(client):
    stored = await client.responses.create(model="m", input=SUM)
    await client.responses.delete(stored.id)
    unstored = await client.responses.create(model="m", input=SUM, store=False)
    for gone in (stored, unstored):
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(gone.id)
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model="m", input=SUM, previous_response_id=gone.id)
        assert refused.value.param == "previous_response_id"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"), ({"truncation": "auto"}, "truncation"), ({"prompt": {"id": "p"}}, "prompt"),
        ({"conversation": "conv_1"}, "conversation"), ({"tool_choice": {"type": "file_search"}}, "tool_choice.type"),
        ({"input": [{"type": "web_search_call", "id": "w"}]}, "input[0].type"), ({"messages": []}, "messages"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content[0].file_id"),
        ({"background": True, "store": False}, "background"), ({"input": []}, "input"), ({"input": 5}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_of_a_chat_is_refused_by_name_and_nobody_is_asked(way, wrong, param):
    answer = await way.served.post(PATH, {"model": "m", "input": SUM, **wrong})
    assert (answer.status, answer.json["error"]["type"], answer.json["error"]["param"]) == (400, "invalid_request_error", param)
    assert way.first.count() == 0


async def test_a_stream_that_breaks_ends_with_a_failed_response_and_is_not_kept(way):
    way.first.script(Fault("cut"))
    answer = await way.served.post(PATH, {"model": "m", "input": "Say something that is long enough to be cut.", "stream": True})
    found = events_of(answer.text)
    assert (found[-1].type, found[-1].response.error.code) == ("response.failed", "server_error")
    assert (await way.served.get(f"{PATH}/{found[-1].response.id}")).status == 404


async def test_a_response_in_the_background_is_polled_until_it_is_there(way, client):
    put = await client.responses.create(model="m", input=SUM, background=True, metadata={"a": "b"})
    assert (put.status, put.background, put.output) == ("queued", True, [])
    lease = await answer_of(way.served, AT_LAST)
    assert lease.message.agent == "chat"
    found = checked((await way.served.get(f"{PATH}/{put.id}")).raw)
    assert (found.status, found.output_text, found.id, found.metadata) == ("completed", "at last", put.id, {"a": "b"})
    assert (await client.responses.create(model="m", input="And 1 + 1?", previous_response_id=put.id)).output_text == "2"
    assert way.first.bodies()[-1]["messages"][1] == {"role": "assistant", "content": "at last"}


async def test_a_stream_of_the_background_is_taken_up_after_any_event_at_any_later_time(way, client):
    stream = await client.responses.create(model="m", input=SUM, background=True, stream=True)
    first = await anext(stream)
    assert (first.type, first.response.status) == ("response.created", "queued")
    await stream.close()
    await answer_of(way.served, AT_LAST)
    whole = events_of((await way.served.get(f"{PATH}/{first.response.id}?stream=true")).text)
    assert [event.sequence_number for event in whole] == list(range(len(whole)))
    assert [event.type for event in whole[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert whole[-1].response.output_text == "at last"
    for after in (0, 4, len(whole) - 1):
        rest = await client.responses.retrieve(first.response.id, stream=True, starting_after=after)
        assert [(event.sequence_number, event.type) async for event in rest] == [(e.sequence_number, e.type) for e in whole[after + 1 :]]


async def test_who_follows_the_background_hears_of_each_change_as_it_comes(way, client):
    stream = await client.responses.create(model="m", input=SUM, background=True, stream=True)
    kinds = [(await anext(stream)).type for _ in range(2)]
    working = asyncio.create_task(answer_of(way.served, AT_LAST))
    async with asyncio.timeout(10):
        kinds += [event.type async for event in stream]
    await working
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert kinds[-1] == "response.completed"


async def test_the_background_is_called_off_as_often_as_one_likes(way, client):
    put = await client.responses.create(model="m", input=SUM, background=True)
    for _ in range(2):
        assert (await client.responses.cancel(put.id)).status == "cancelled"
    last = events_of((await way.served.get(f"{PATH}/{put.id}?stream=true")).text)[-1]
    assert (last.type, last.response.status) == ("response.incomplete", "cancelled")
    at_once = await client.responses.create(model="m", input=SUM)
    with pytest.raises(openai.BadRequestError):
        await client.responses.cancel(at_once.id)
    with pytest.raises(openai.BadRequestError):
        await client.responses.retrieve(at_once.id, stream=True)


async def test_another_tenant_has_no_such_response(way, client):
    stored = await client.responses.create(model="m", input=SUM)
    made = await way.served.post("/api/v1/keys", {"name": "acme", "scopes": ["chat:write", "messages:write"], "tenant": "acme"})
    async with openai.AsyncOpenAI(base_url=way.url, api_key=made.json["key"], max_retries=0) as other:
        for ask in (other.responses.retrieve, other.responses.delete, other.responses.cancel, other.responses.input_items.list):
            with pytest.raises(openai.NotFoundError):
                await ask(stored.id)
        with pytest.raises(openai.BadRequestError):
            await other.responses.create(model="m", input=SUM, previous_response_id=stored.id)
        own = await other.responses.create(model="m", input=SUM, background=True)
        assert (await other.responses.retrieve(own.id)).status == "queued"
    assert (await client.responses.retrieve(stored.id)).id == stored.id


async def test_what_a_response_in_the_background_died_of_is_told(way, client):
    put = await client.responses.create(model="m", input=SUM, background=True)
    lease = await leased(way.served)
    await way.served.store.messages.bury(lease, ContextTooLong("too long for it").facts())
    found = checked((await way.served.get(f"{PATH}/{put.id}")).raw)
    assert (found.status, found.error.code, "too long" in found.error.message) == ("failed", "invalid_prompt", True)
    last = events_of((await way.served.get(f"{PATH}/{put.id}?stream=true")).text)[-1]
    assert (last.type, last.response) == ("response.failed", found)


async def test_a_key_makes_a_response_once_at_once_and_in_the_background(way, client):
    for more in ({}, {"background": True}):
        asked = {"model": "m", "input": SUM, "extra_headers": {"Idempotency-Key": f"k{len(more)}"}, **more}
        first, again = [await client.responses.create(**asked) for _ in range(2)]
        assert first == again
    assert way.first.count() == 1
    assert len((await way.served.get("/api/v1/messages")).json["data"]) == 1


async def test_a_key_whose_answer_was_lost_finds_the_response_it_has_put(way, client):
    asked = {"model": "m", "input": SUM, "background": True, "extra_headers": {"Idempotency-Key": "k"}}
    first = await client.responses.create(**asked)
    assert (await way.served.store.retention.tidy(Keep(calls_s=-1.0))).calls == 1  # as if the server had died before it could record it
    assert await client.responses.create(**asked) == first
