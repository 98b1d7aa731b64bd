"""The unmodified `openai` package, blocking and not, as a client of chats."""

from __future__ import annotations

import json

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from perdure.testing import Fault

USER = [{"role": "user", "content": "What is 2 + 3?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    },
}


@pytest.fixture
async def client(way):
    async with openai.AsyncOpenAI(base_url=way.url, api_key=way.key, max_retries=0) as made:
        yield made


def checked(kind, answer):
    """Every field against OpenAI's own types, strictly, as it went over the wire."""
    return kind.model_validate_json(answer if isinstance(answer, bytes | str) else json.dumps(answer), strict=True)


async def raw(way, body):
    answer = await way.served.post("/v1/chat/completions", body)
    assert answer.status == 200, answer.text
    return answer


async def test_a_whole_answer_has_openais_types_field_by_field(way):
    answer = await raw(way, {"model": "m", "messages": USER, "n": 2, "logprobs": True, "top_logprobs": 0})
    found = checked(ChatCompletion, answer.raw)
    assert [choice.message.content for choice in found.choices] == ["5", "5"]
    assert [choice.index for choice in found.choices] == [0, 1]
    assert found.choices[1].logprobs.content[0].token == "5"
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
    assert set(answer.json["choices"][0]["message"]) >= {"role", "content", "refusal"}


async def test_every_piece_of_a_stream_has_openais_types(way):
    answer = await raw(way, {"model": "m", "messages": USER, "stream": True, "stream_options": {"include_usage": True}})
    *pieces, done = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert done == "[DONE]"
    found = [checked(ChatCompletionChunk, piece) for piece in pieces]
    assert len({(one.id, one.created, one.model, one.object) for one in found}) == 1
    assert found[0].choices[0].delta.role == "assistant"
    assert found[-2].choices[0].finish_reason == "stop"
    assert (found[-1].choices, found[-1].usage.total_tokens > 0) == ([], True)
    assert all(json.loads(piece)["usage"] is None for piece in pieces[:-1])


async def test_a_blocking_client_is_served_whole_and_in_pieces(way):
    def work():
        with openai.OpenAI(base_url=way.url, api_key=way.key, max_retries=0) as client:
            whole = client.chat.completions.create(model="m", messages=USER)
            stream = client.chat.completions.create(model="m", messages=USER, stream=True)
            return whole.choices[0].message.content, "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert await way.beside(work) == ("5", "5")


async def test_tools_are_called_and_their_results_taken_whole_and_in_pieces(client):
    asked = [{"role": "user", "content": "Use get_weather, please."}]
    whole = await client.chat.completions.create(model="m", messages=asked, tools=[WEATHER])
    [call] = whole.choices[0].message.tool_calls
    assert (whole.choices[0].finish_reason, call.function.name) == ("tool_calls", "get_weather")
    json.loads(call.function.arguments)["city"]
    async with client.chat.completions.stream(model="m", messages=asked, tools=[WEATHER]) as stream:
        streamed = await stream.get_final_completion()
    assert streamed.choices[0].message.tool_calls[0].function.arguments == call.function.arguments
    said = [*asked, whole.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    after = await client.chat.completions.create(model="m", messages=said, tools=[WEATHER])
    assert after.choices[0].message.content == "The tool says: sunny"


async def test_an_answer_of_a_schema_is_parsed_by_the_client(client):
    class City(BaseModel):
        name: str
        people: int

    found = await client.chat.completions.parse(model="m", messages=[{"role": "user", "content": "A city."}], response_format=City)
    assert isinstance(found.choices[0].message.parsed, City)


async def test_pictures_and_unknown_parameters_reach_the_upstream_as_they_were_sent(way, client):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    more = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 5}
    await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": content}], seed=7, user="u", metadata={"a": "b"}, stop=["x"], extra_body=more
    )
    [body] = way.first.bodies()
    assert body["messages"][0]["content"] == content
    assert {name: body[name] for name in (*more, "seed", "user", "metadata", "stop")} == {
        **more, "seed": 7, "user": "u", "metadata": {"a": "b"}, "stop": ["x"],
    }  # fmt: skip
    assert body["model"] == "m-1"
    assert not {"stream", "temperature", "n", "tools"} & set(body)


async def test_headers_say_who_answered_how_often_was_asked_and_what_it_cost(way, client):
    way.first.script(Fault("status", status=503))
    answer = await client.chat.completions.with_raw_response.create(model="both", messages=USER)
    assert answer.headers["perdure-lane"] == "second/m-1"
    assert answer.headers["perdure-attempts"] == "2"
    assert float(answer.headers["perdure-queue-ms"]) >= 0
    counted = answer.parse().usage
    assert float(answer.headers["perdure-cost-usd"]) == pytest.approx((counted.prompt_tokens + 2 * counted.completion_tokens) / 1e6)
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=429, headers={"retry-after": "30"}), Fault("status", status=500), Fault("status", status=401),
        Fault("disconnect"), Fault("html"), Fault("empty"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)  # fmt: skip
async def test_where_one_deployment_gives_no_answer_the_next_is_asked(way, client, fault, stream):
    way.first.script(fault)
    asked = await client.chat.completions.create(model="both", messages=USER, stream=stream)
    text = "".join([one.choices[0].delta.content or "" async for one in asked]) if stream else asked.choices[0].message.content
    assert text == "5"
    assert (way.first.count(), way.second.count()) == (1, 1)


async def test_what_the_caller_did_wrong_is_asked_nobody_else(way, client):
    way.first.script(Fault("status", status=400, body={"error": {"message": "no", "type": "invalid_request_error"}}))
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="both", messages=USER)
    assert way.second.count() == 0


async def test_where_all_have_reached_their_limit_the_caller_learns_when_the_first_opens(way, client):
    way.first.script(Fault("status", status=429, headers={"retry-after": "300"}))
    way.second.script(Fault("status", status=429, headers={"retry-after": "120"}))  # no rate, a quota: its lane is closed at once
    for asked in (1, 1):  # the second call is refused without asking anybody
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="both", messages=USER)
        headers = refused.value.response.headers
        assert 110 <= int(headers["retry-after"]) <= 120
        assert 110_000 < int(headers["retry-after-ms"]) <= 120_000
        assert headers["x-should-retry"] == "true"
        assert (way.first.count(), way.second.count()) == (asked, asked)


async def test_a_stream_that_is_cut_raises_and_is_never_joined_with_another_answer(way, client):
    way.first.script(Fault("cut", after=2))
    stream = await client.chat.completions.create(
        model="both", messages=[{"role": "user", "content": "repeat this long text"}], stream=True
    )
    with pytest.raises(openai.APIError, match=r"ended the stream|broke off"):
        [chunk async for chunk in stream]
    assert way.second.count() == 0


async def test_an_error_in_the_middle_of_a_stream_has_openais_shape(way, client):
    way.first.script(Fault("stream-error", after=2, body={"error": {"message": "too busy", "code": "server_is_overloaded"}}))
    stream = await client.chat.completions.create(model="m", messages=USER, stream=True)
    with pytest.raises(openai.APIError, match="too busy") as raised:
        [chunk async for chunk in stream]
    assert set(raised.value.body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_filter_cut_off_is_given_as_it_came(way, client, stream):
    way.first.reply = lambda body: {"content": None, "refusal": "I will not."}
    asked = await client.chat.completions.create(model="m", messages=USER, stream=stream)
    if stream:
        pieces = [one async for one in asked]
        assert "".join(one.choices[0].delta.refusal or "" for one in pieces) == "I will not."
    else:
        assert (asked.choices[0].message.refusal, asked.choices[0].message.content) == ("I will not.", None)


async def test_the_clients_own_retry_succeeds_once_a_server_is_back(way):
    way.first.script(Fault("status", status=503))
    async with openai.AsyncOpenAI(base_url=way.url, api_key=way.key, max_retries=1) as client:
        answer = await client.chat.completions.create(model="m", messages=USER)
    assert answer.choices[0].message.content == "5"
    assert way.first.count() == 2


async def test_errors_are_those_that_the_client_knows(way, client):
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="gone", messages=USER)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.chat.completions.create(model="m", messages=[])
    assert (wrong.value.param, wrong.value.type) == ("messages", "invalid_request_error")
    async with openai.AsyncOpenAI(base_url=way.url, api_key="pdr_none", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.chat.completions.create(model="m", messages=USER)


async def test_a_call_waits_for_its_turn_in_a_lane_that_goes_slower_and_says_how_long(way, client):
    class Turn:
        starts_at, overtaken, steps = None, False, []

        def sent(self):
            self.steps.append("sent")

        def answered(self, *told):
            self.steps.append("answered")

        def left(self):
            self.steps.append("left")

    class Slow:
        async def enter(self, lane, ask):
            turn = Turn()
            turn.starts_at, turn.overtaken = way.served.clock.now() + 0.05, not Turn.steps
            return turn

    way.served.core.lanes = Slow()
    answer = await client.chat.completions.with_raw_response.create(model="m", messages=USER)
    assert float(answer.headers["perdure-queue-ms"]) >= 90  # two turns, of which the first was overtaken
    assert Turn.steps == ["left", "sent", "answered", "left"]
