"""Calls in the background over real HTTP: begun once, looked for often, fetched by whoever has the handle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.errors.base import AuthenticationFailed, ContentFiltered, EmptyAnswer, NetworkFailed, ProviderTimeout, ServerFailed
from perdure.providers.generic import GenericProvider
from perdure.providers.protocol import ChatAnswer, ResumableProvider
from perdure.resources.usage import Usage
from perdure.testing.upstream import Upstream

ASK: dict[str, Any] = {"model": "fake-1", "messages": [{"role": "user", "content": "how are you"}]}


@pytest.fixture
async def provider(upstream: Upstream) -> AsyncIterator[GenericProvider]:
    made = GenericProvider("up", base_url=upstream.base_url, timeout_s=5, background=True)
    assert made.background is not None
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    made.background.nap = nap
    made.naps = naps  # type: ignore[attr-defined]
    yield made
    await made.aclose()


async def test_a_call_is_begun_once_and_its_answer_fetched(provider: GenericProvider, upstream: Upstream) -> None:
    assert isinstance(provider, ResumableProvider)
    assert provider.resumes(ASK)

    handle = await provider.begin(ASK)
    answer = await provider.resume(handle)

    assert isinstance(answer, ChatAnswer)
    assert (answer.text, answer.usage) == ("answer to: how are you", Usage(calls=1, input_tokens=3, output_tokens=5))
    assert upstream.count() == 1


async def test_whoever_has_the_handle_gets_the_answer(provider: GenericProvider, upstream: Upstream) -> None:
    handle = await provider.begin(ASK)
    other = GenericProvider("up", base_url=upstream.base_url)

    answer = await other.resume(handle)

    assert isinstance(answer, ChatAnswer)
    assert not other.resumes(ASK), "it begins none itself"
    await other.aclose()


async def test_looks_lie_further_and_further_apart(provider: GenericProvider, upstream: Upstream) -> None:
    handle = await provider.begin(ASK)
    upstream.background.looks = 12

    await provider.resume(handle, timeout_s=100)

    naps: list[float] = provider.naps  # type: ignore[attr-defined]
    assert (len(naps), naps == sorted(naps), naps[-1]) == (11, True, 5.0)


async def test_a_handle_that_is_not_known_is_none(provider: GenericProvider, upstream: Upstream) -> None:
    handle = await provider.begin(ASK)
    upstream.background.kept.clear()

    assert await provider.resume(handle) is None
    assert await provider.resume("../models") is None, "and nothing else of the provider is asked for"
    assert upstream.background.looked == 1


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "it broke"}}, ServerFailed),
        ({"status": "cancelled", "error": None}, ServerFailed),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}, ContentFiltered),
        ({"output": []}, EmptyAnswer),
    ],
)
async def test_how_a_call_failed_is_an_answer_too(
    provider: GenericProvider, upstream: Upstream, outcome: dict[str, Any], kind: type[Exception]
) -> None:
    handle = await provider.begin(ASK)
    upstream.background.outcomes[handle] = outcome

    assert isinstance(await provider.resume(handle), kind)


async def test_that_it_cannot_be_asked_says_nothing_of_the_call(upstream: Upstream) -> None:
    away = GenericProvider("up", base_url="http://127.0.0.1:9", background=True)
    assert away.background is not None

    async def nap(seconds: float) -> None:
        return

    away.background.nap = nap
    with pytest.raises(NetworkFailed):
        await away.resume("resp_1", timeout_s=100)
    await away.aclose()


async def test_a_look_has_an_end(provider: GenericProvider, upstream: Upstream) -> None:
    handle = await provider.begin(ASK)
    upstream.background.looks = 10_000

    with pytest.raises(ProviderTimeout, match="asked again"):
        await provider.resume(handle, timeout_s=0.2)


async def test_what_is_refused_at_the_door_was_not_begun(upstream: Upstream) -> None:
    upstream.api_key = "right"
    wrong = GenericProvider("up", base_url=upstream.base_url, api_key="wrong", background=True)

    with pytest.raises(AuthenticationFailed):
        await wrong.begin(ASK)
    await wrong.aclose()
