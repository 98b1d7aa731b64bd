"""Texts become vectors, in their order, in as many requests as the endpoint needs."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.errors.base import Billed, InvalidRequest, ProviderError, RateLimited, ServerFailed
from perdure.providers.generic import GenericProvider
from perdure.providers.protocol import EmbeddingProvider
from perdure.resources.usage import Usage
from perdure.testing import FakeProvider
from perdure.testing.replies import vector_of
from perdure.testing.upstream import Fault, Upstream


@pytest.fixture
async def provider(upstream: Upstream) -> AsyncIterator[GenericProvider]:
    made = GenericProvider("mine", base_url=upstream.base_url)
    yield made
    await made.aclose()


async def test_each_text_has_its_vector_in_order(provider: GenericProvider, upstream: Upstream) -> None:
    texts = ["one", "two words", "😀 ü"]
    found = await provider.embed(texts, model="e", dimensions=16)
    assert found.vectors == [pytest.approx(vector_of(text, 16)) for text in texts]
    assert found.usage == Usage(calls=1, input_tokens=5)
    assert upstream.requests[0].body == {"model": "e", "input": texts, "dimensions": 16}
    assert provider.get_metrics()["requests"] == 1


@pytest.mark.parametrize(
    ("dialect", "model", "sizes"),
    [("qwen", "text-embedding-v4", [10, 10, 3]), ("qwen", "text-embedding-v2", [23]), (None, "e", [23]), ("gemini", "e", [23])],
)
async def test_no_request_has_more_texts_than_the_endpoint_takes(
    upstream: Upstream, dialect: str | None, model: str, sizes: list[int]
) -> None:
    provider = GenericProvider("mine", base_url=upstream.base_url, dialect=dialect)
    texts = [f"text {n}" for n in range(23)]
    found = await provider.embed(texts, model=model)
    assert [len(seen.body["input"]) for seen in upstream.requests] == sizes
    assert found.vectors == [pytest.approx(vector_of(text)) for text in texts]
    assert found.usage == Usage(calls=len(sizes), input_tokens=46)
    await provider.aclose()


async def test_no_texts_are_no_request(provider: GenericProvider, upstream: Upstream) -> None:
    assert (await provider.embed([], model="e")).vectors == []
    assert upstream.count() == 0


@pytest.mark.parametrize("texts", ["a text", [""], [["a"]], [1]])
async def test_what_is_no_list_of_texts_is_refused(provider: GenericProvider, upstream: Upstream, texts: Any) -> None:
    with pytest.raises(InvalidRequest):
        await provider.embed(texts, model="e")
    assert upstream.count() == 0


async def test_a_request_that_fails_in_the_middle_says_that_a_part_is_paid(upstream: Upstream) -> None:
    provider = GenericProvider("mine", base_url=upstream.base_url, dialect="qwen")
    limited = {"error": {"code": "limit_requests", "message": "m"}}
    texts = [str(n) for n in range(20)]
    upstream.script(Fault("slow", seconds=0.0), Fault("status", 429, body=limited))
    with pytest.raises(RateLimited) as caught:
        await provider.embed(texts, model="e")
    assert caught.value.billed is Billed.PARTIAL
    upstream.script(Fault("status", 429, body=limited))
    with pytest.raises(RateLimited) as caught:
        await provider.embed(texts, model="e")
    assert (caught.value.billed, upstream.count()) == (Billed.NO, 3)
    await provider.aclose()


def vectors(*rows: Any) -> dict[str, Any]:
    return {"data": [{"index": at, "embedding": row} for at, row in enumerate(rows)]}


@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": [{}]}, vectors([1.0]), vectors([1.0], [1.0, 2.0]), vectors([], []), vectors("?", "?"), [1]]
)
async def test_an_answer_without_a_vector_for_each_text_is_none(provider: GenericProvider, upstream: Upstream, body: Any) -> None:
    upstream.script(Fault("garbage", body=body))
    with pytest.raises(ServerFailed):
        await provider.embed(["a", "b"], model="e")


async def test_packed_vectors_and_any_order_are_read(provider: GenericProvider, upstream: Upstream) -> None:
    packed = base64.b64encode(struct.pack("<2f", 0.5, 0.25)).decode()
    rows = [{"index": 1, "embedding": packed}, {"index": 0, "embedding": [1, 2]}]
    upstream.script(Fault("garbage", body={"data": rows}))
    found = await provider.embed(["a", "b"], model="e")
    assert found.vectors == [[1.0, 2.0], [0.5, 0.25]]
    assert found.usage.input_tokens is None, "not counted is unknown, not nothing"


@pytest.mark.parametrize("fault", [Fault("html"), Fault("empty"), Fault("disconnect")], ids=lambda fault: fault.kind)
async def test_what_is_no_answer_is_an_error_of_ours(provider: GenericProvider, upstream: Upstream, fault: Fault) -> None:
    upstream.script(fault)
    with pytest.raises(ProviderError):
        await provider.embed(["a"], model="e")


async def test_the_fake_embeds_too() -> None:
    fake = FakeProvider()
    assert isinstance(fake, EmbeddingProvider)
    assert (await fake.embed(["a"], model="e", dimensions=3)).vectors == [vector_of("a", 3)]
