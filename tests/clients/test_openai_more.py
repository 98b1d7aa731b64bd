"""The unmodified `openai` package as a client of what there is beside chats: texts, vectors, models."""

from __future__ import annotations

import openai
import pytest
from openai.types import Completion, CreateEmbeddingResponse, Model

from perdure.testing import Fault
from perdure.testing.replies import vector_of


@pytest.fixture
async def client(way):
    async with openai.AsyncOpenAI(base_url=way.url, api_key=way.key, max_retries=0) as made:
        yield made


async def test_a_text_goes_on_and_has_openais_types(way, client):
    answer = await way.served.post(
        "/v1/completions", {"model": "m", "prompt": ["one", "two"], "n": 2, "max_tokens": 9, "suffix": "!", "top_k": 3}
    )
    found = Completion.model_validate_json(answer.raw, strict=True)
    assert [choice.text for choice in found.choices] == [" and so on after one"] * 2 + [" and so on after two"] * 2
    assert found.usage.total_tokens > 0
    assert way.first.bodies()[-1] == {"model": "m-1", "prompt": ["one", "two"], "n": 2, "max_tokens": 9, "suffix": "!", "top_k": 3}
    assert (await client.completions.create(model="m", prompt=[1, 2])).choices[0].text == " and so on after [1, 2]"
    assert answer.headers["perdure-lane"] == "first/m-1"


async def test_a_text_comes_in_pieces_and_is_counted(client):
    stream = await client.completions.create(model="m", prompt="one", stream=True, stream_options={"include_usage": True})
    *pieces, last = [piece async for piece in stream]
    assert "".join(piece.choices[0].text for piece in pieces) == " and so on after one"
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert (last.choices, last.usage.total_tokens > 0) == ([], True)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_text_is_asked_elsewhere_where_one_deployment_fails(way, client, stream):
    way.first.script(Fault("status", status=500))
    asked = await client.completions.create(model="both", prompt="one", stream=stream)
    text = "".join([piece.choices[0].text async for piece in asked]) if stream else asked.choices[0].text
    assert text == " and so on after one"
    assert (way.first.count(), way.second.count()) == (1, 1)


async def test_a_provider_that_only_chats_says_so(serve):
    served = await serve()
    answer = await served.post("/v1/completions", {"prompt": "one"})
    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")
    assert "only answers chats" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("completions", {}, "prompt"),
        ("completions", {"prompt": ["a", 1]}, "prompt"),
        ("completions", {"prompt": "a", "n": 0}, "n"),
        ("completions", {"prompt": "a", "stream_options": {}}, "stream_options"),
        ("embeddings", {}, "input"),
        ("embeddings", {"input": ""}, "input"),
        ("embeddings", {"input": ["a", [1]]}, "input"),
        ("embeddings", {"input": []}, "input"),
        ("embeddings", {"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
)
async def test_a_request_that_is_none_is_400_and_names_the_field(way, path, body, param):
    answer = await way.served.post(f"/v1/{path}", {"model": "m", **body})
    assert (answer.status, answer.json["error"]["param"]) == (400, param)
    assert way.first.count() == 0


async def test_texts_become_vectors_packed_as_the_client_asks_or_not(way, client):
    packed = await client.embeddings.create(model="m", input=["one", "two"], dimensions=4)
    plain = await client.embeddings.create(model="m", input=["one", "two"], dimensions=4, encoding_format="float")
    for found in (packed, plain):
        assert [row.embedding for row in found.data] == [pytest.approx(vector_of(text, 4), rel=1e-6) for text in ("one", "two")]
    assert packed.usage.total_tokens == 2
    answer = await way.served.post("/v1/embeddings", {"model": "m", "input": "one"})
    CreateEmbeddingResponse.model_validate_json(answer.raw, strict=True)
    assert (answer.headers["perdure-lane"], answer.headers["perdure-cost-usd"]) == ("first/m-1", "0.000001")


async def test_tokens_and_further_parameters_of_vectors_reach_the_upstream(way, client):
    await client.embeddings.create(model="m", input=[1, 2, 3], user="u", extra_body={"truncate": "END"})
    assert way.first.bodies() == [{"user": "u", "truncate": "END", "model": "m-1", "input": [[1, 2, 3]]}]


async def test_vectors_come_from_the_next_deployment_but_of_no_other_model(way, client):
    way.first.script(Fault("status", status=503))
    assert len((await client.embeddings.create(model="both", input="one")).data) == 1
    way.first.script(Fault("status", status=400, body={"error": {"message": "maximum context length", "code": "context_length_exceeded"}}))
    with pytest.raises(openai.BadRequestError):
        await client.embeddings.create(model="m", input="one")


async def test_models_are_listed_and_found_under_each_of_their_names(way, client):
    names = [model.id async for model in client.models.list()]
    assert names == ["both", "first/m-1", "m", "second/m-1"]
    for name in names:
        assert (await client.models.retrieve(name)).id == name
        answer = await way.served.get(f"/v1/models/{name}")
        Model.model_validate_json(answer.raw, strict=True)
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gone")
