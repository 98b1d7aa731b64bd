"""The blocking door works from any thread but a running loop's."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from perdure.errors.base import ConfigError, EmptyAnswer, RateLimited, ServerFailed, SyncCallInAsync
from perdure.providers.generic import GenericProvider
from perdure.providers.protocol import LLMProvider
from perdure.testing.provider import FakeProvider
from perdure.testing.upstream import Fault, Upstream


def test_a_prompt_is_answered(upstream: Upstream) -> None:
    provider = GenericProvider("up", base_url=upstream.base_url)
    assert isinstance(provider, LLMProvider)
    assert provider.generate("hello", "be kind") == "answer to: hello"
    assert provider.generate("hello", "") == "answer to: hello"
    assert [len(seen.body["messages"]) for seen in upstream.requests] == [2, 1]
    assert upstream.requests[0].body["model"] == "fake-1", "the first one it lists"
    assert provider.get_metrics()["requests"] == 2


def test_many_threads_share_the_background_loop(upstream: Upstream) -> None:
    provider = GenericProvider("up", base_url=upstream.base_url, models=["fake-1"])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(provider.generate, [f"{n}" for n in range(40)], [""] * 40))
    assert answers == [f"answer to: {n}" for n in range(40)]
    assert len(provider._door._sessions._open) == 1


async def test_on_a_running_loop_it_is_refused_with_the_way_to_write_it() -> None:
    provider = FakeProvider()
    with pytest.raises(SyncCallInAsync) as caught:
        provider.generate("x", "")
    assert "await FakeProvider.chat" in str(caught.value.hint)
    with pytest.raises(SyncCallInAsync):
        provider.validate()
    assert provider.count == 0
    assert await asyncio.to_thread(provider.generate, "x", "") == "answer to: x"


def test_none_is_an_empty_answer() -> None:
    assert FakeProvider(replies=[EmptyAnswer("nothing")]).generate("x", "") is None
    assert FakeProvider(replies=[{"content": None, "tool_calls": [{"name": "f", "arguments": {}}]}]).generate("x", "") is None


def test_a_failure_is_raised_as_it_is() -> None:
    with pytest.raises(RateLimited):
        FakeProvider(replies=[RateLimited("slow")]).generate("x", "")


def test_validate_says_no_and_remembers_why(upstream: Upstream) -> None:
    upstream.api_key = "right"
    wrong = GenericProvider("up", base_url=upstream.base_url, api_key="wrong")
    assert wrong.validate() is False
    assert wrong.problem is not None
    assert wrong.problem.code == "provider-auth"
    right = GenericProvider("up", base_url=upstream.base_url, api_key="right")
    assert right.validate() is True
    assert right.problem is None


def test_a_provider_that_names_no_model_says_so() -> None:
    with pytest.raises(ConfigError, match="names no model"):
        FakeProvider(models=[]).generate("x", "")


def test_both_doors_of_one_provider_work_side_by_side(upstream: Upstream) -> None:
    provider = GenericProvider("up", base_url=upstream.base_url, models=["fake-1"])

    async def both() -> None:
        body = {"model": "fake-1", "messages": [{"role": "user", "content": "a"}]}
        await provider.chat(body)
        await asyncio.to_thread(provider.generate, "b", "")
        assert len(provider._door._sessions._open) == 2
        await provider.aclose()

    asyncio.run(both())
    upstream.script(Fault("status", 500))
    with pytest.raises(ServerFailed):
        provider.generate("c", "")
    assert provider.generate("d", "") == "answer to: d"
