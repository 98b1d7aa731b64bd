"""Every row of the table of providers' errors is judged right: as an answer, inside a stream, whatever its headers say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from email.utils import formatdate
from typing import Any

import pytest

from perdure import clock
from perdure.errors.base import Billed, Category, ProviderError
from perdure.providers.errors import UNMAPPED, Whence, judge
from perdure.providers.generic import GenericProvider
from perdure.testing import RealAnswer, Upstream, real_answers
from perdure.testing.upstream import Fault
from perdure.wire.errors import error_in, read_error

NOW = 1_800_000_000.0
"""15 January 2027, 08:00 UTC."""
ROWS = real_answers()
FRAMED = [row for row in ROWS if row.framed != "never"]
TOLD_ALONE = [row for row in ROWS if row.framed == "alone"]
MONTH_S = 31 * 86400.0

HEADERS: dict[str, tuple[dict[str, str], float]] = {
    "seconds": ({"Retry-After": "7"}, 7.0),
    "an hour": ({"retry-after": "3600"}, 3600.0),
    "a month": ({"retry-after": str(int(MONTH_S))}, MONTH_S),
    "thousandths": ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
    "a date": ({"retry-after": formatdate(NOW + 5400, usegmt=True), "date": formatdate(NOW, usegmt=True)}, 5400.0),
    "a reset of tokens": ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m30s"}, 90.0),
    "a reset of requests": ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2h3m4.5s"}, 7384.5),
    "a moment": (
        {"anthropic-ratelimit-input-tokens-remaining": "0", "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:02:00Z"},
        120.0,
    ),
    "an epoch": ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int((NOW + 45) * 1000))}, 45.0),
}


def judged(row: RealAnswer, *, dialect: str | None = "its own", headers: Mapping[str, str] | None = None) -> ProviderError:
    spoken = row.dialect if dialect == "its own" else dialect
    whence = Whence(provider="p", dialect=spoken, model="m", status=row.status, headers=headers or {})
    return judge(read_error(row.raw), whence, NOW, dice=lambda: 0.0)


def told(row: RealAnswer, *, mark: str = "", partly: bool = False) -> ProviderError:
    """As an error inside a stream that had begun with 200."""
    said = error_in(json.loads(row.raw))
    assert said is not None
    whence = Whence(provider="p", dialect=row.dialect, status=200, partly=partly)
    said = error_in({"error": {"message": f"{said.message} {mark}", "type": said.type, "code": said.code}}) if mark else said
    assert said is not None
    return judge(said, whence, NOW, dice=lambda: 0.0)


def meaning(error: ProviderError) -> tuple[Any, ...]:
    return (error.category, error.retryable, error.scope, error.billed)


def expected(row: RealAnswer) -> tuple[Any, ...]:
    return (row.category, row.retryable, row.scope, row.billed)


def test_the_table_has_every_provider_and_every_kind() -> None:
    assert len(ROWS) >= 140
    assert {row.dialect for row in ROWS} >= {"openai", "anthropic", "dashscope", "vllm", "sglang", "ollama", "llamacpp", "lmstudio"}
    met_here = {Category.AUTH, Category.PERMISSION, Category.BILLING, Category.RATE_LIMIT, Category.OVERLOADED, Category.SERVER}
    met_here |= {Category.TIMEOUT, Category.CONTEXT_LENGTH, Category.CONTENT_FILTER, Category.INVALID_REQUEST, Category.MODEL_NOT_FOUND}
    assert {row.category for row in ROWS} >= met_here
    assert len({(str(row), row.raw) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_as_an_answer_it_means_what_the_table_says(row: RealAnswer) -> None:
    error = judged(row)
    assert meaning(error) == expected(row)
    assert error.retry_at == (None if row.wait is None else pytest.approx(row.retry_at(NOW)))
    assert error.evidence.rule != UNMAPPED
    assert (error.evidence.status, error.evidence.model) == (row.status, "m")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_behind_a_gateway_it_means_the_same(row: RealAnswer) -> None:
    if row.told_by_gateway:
        assert meaning(judged(row, dialect=None))[:2] == expected(row)[:2]
    else:
        assert judged(row, dialect=None).category is not row.category  # nobody could know; if it is known now, the table is behind


@pytest.mark.parametrize("header", HEADERS)
def test_the_moment_that_a_header_names_is_kept_to_and_never_cut(header: str) -> None:
    headers, wait_s = HEADERS[header]
    for row in ROWS:
        error = judged(row, headers=headers)
        assert meaning(error) == expected(row), str(row)
        wanted = NOW + wait_s if row.heeds_headers else row.retry_at(NOW)
        assert error.retry_at == (None if wanted is None else pytest.approx(wanted, abs=0.001)), str(row)


@pytest.mark.parametrize("wish", ["true", "false"])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_providers_own_wish_is_obeyed_unless_it_only_has_to_wait(row: RealAnswer, wish: str) -> None:
    error = judged(row, headers={"x-should-retry": wish})
    waits = row.category in {Category.RATE_LIMIT, Category.AUTH, Category.PERMISSION, Category.BILLING}
    assert error.retryable is (True if waits or error.evidence.rule == "groq-tool-use" else wish == "true")


@pytest.mark.parametrize("row", TOLD_ALONE, ids=str)
def test_inside_a_stream_it_means_the_same(row: RealAnswer) -> None:
    error = told(row)
    assert (error.category, error.retryable) == (row.category, row.retryable)


@pytest.mark.parametrize("row", FRAMED, ids=str)
def test_inside_a_stream_with_its_status_in_the_text_it_means_the_same(row: RealAnswer) -> None:
    error = told(row, mark=f":HTTP_STATUS/{row.status}", partly=True)
    assert (error.category, error.retryable, error.scope) == expected(row)[:3]
    assert error.billed is Billed.PARTIAL
    assert error.evidence.status == row.status


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


async def _all(chunks: AsyncIterator[Any]) -> None:
    async for _ in chunks:
        pass


@pytest.fixture
async def ask(upstream: Upstream) -> AsyncIterator[Any]:
    providers: list[GenericProvider] = []

    async def ask(dialect: str, fault: Fault, *, stream: bool) -> ProviderError:
        upstream.script(fault)
        provider = GenericProvider("p", base_url=upstream.base_url, dialect=dialect)
        providers.append(provider)
        body = {"model": "fake-1", "messages": [{"role": "user", "content": "hello"}]}
        with pytest.raises(ProviderError) as caught:
            await (_all(provider.stream(body)) if stream else provider.chat(body))
        return caught.value

    yield ask
    for provider in providers:
        await provider.aclose()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_over_a_socket_it_means_the_same(row: RealAnswer, stream: bool, ask: Any) -> None:
    headers = {"retry-after": "86400"} if row.heeds_headers else {}
    error = await ask(row.dialect, Fault("status", status=row.status, headers=headers, body=row.raw.decode()), stream=stream)
    assert meaning(error) == expected(row)
    if row.heeds_headers:
        assert error.retry_at == pytest.approx(86400 + clock.now(), abs=60)


@pytest.mark.parametrize("after", [0, 2], ids=["at once", "in the middle"])
@pytest.mark.parametrize("row", FRAMED, ids=str)
async def test_inside_a_real_stream_it_means_the_same(row: RealAnswer, after: int, ask: Any) -> None:
    fault = Fault("stream-error", body=json.loads(row.raw), after=after, comment=f"HTTP_STATUS/{row.status}")
    error = await ask(row.dialect, fault, stream=True)
    assert (error.category, error.retryable, error.scope) == expected(row)[:3]
    assert error.billed is (Billed.PARTIAL if after else row.billed)


@pytest.mark.parametrize("row", TOLD_ALONE, ids=str)
async def test_as_a_body_that_came_with_200_it_means_the_same(row: RealAnswer, ask: Any) -> None:
    error = await ask(row.dialect, Fault("garbage", body=json.loads(row.raw)), stream=False)
    assert (error.category, error.retryable) == (row.category, row.retryable)
