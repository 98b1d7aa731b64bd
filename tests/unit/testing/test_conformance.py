"""The provider kit finds what is wrong, and nothing else: each deliberately wrong provider fails exactly the tests it should."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest

from perdure.errors.base import Billed, EmptyAnswer, ProviderError, StreamCut
from perdure.providers.errors import Whence
from perdure.providers.generic import GenericProvider
from perdure.providers.protocol import ChatAnswer
from perdure.resources.usage import Usage
from perdure.testing import Fault, ProviderCase, ProviderKit, Upstream, run_conformance
from perdure.testing.conformance import Outcome, names_of

KEY = "sk-never-to-be-seen-anywhere"
CUTS = {"test_a_stream_that_is_cut_is_no_answer", "test_after_every_failure_it_is_good_for_the_next_call"}


class Retrying(GenericProvider):
    """Tries again by itself."""

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        try:
            return await super().chat(body, timeout_s=timeout_s)
        except ProviderError as error:
            if not error.retryable or error.code == "provider-rate-limited":
                raise
        return await super().chat(body, timeout_s=timeout_s)


class Dropping(GenericProvider):
    """Leaves out tools that it was asked to offer."""

    def _prepared(self, body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name not in {"tools", "tool_choice"}}


class Picking(GenericProvider):
    """Sends only what it knows."""

    def _prepared(self, body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name != "a_parameter_of_next_year"}


class Writing(GenericProvider):
    """Writes into the caller's request."""

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        body.setdefault("user", "me")  # type: ignore[attr-defined]
        return await super().chat(body, timeout_s=timeout_s)


class Counting(GenericProvider):
    """Takes usage that was not told for none."""

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        answer = await super().chat(body, timeout_s=timeout_s)
        usage = Usage(calls=1, input_tokens=answer.usage.input_tokens or 0, output_tokens=answer.usage.output_tokens or 0)
        return ChatAnswer(body=answer.body, usage=usage)


class Trusting(GenericProvider):
    """Takes what came of a stream for the whole."""

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        try:
            return await super().chat(body, timeout_s=timeout_s)
        except StreamCut:
            return ChatAnswer(body={"choices": [{"message": {"content": "half of"}, "finish_reason": "stop"}]}, usage=Usage())


class Content(GenericProvider):
    """Takes nothing for an answer."""

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        try:
            return await super().chat(body, timeout_s=timeout_s)
        except EmptyAnswer:
            return ChatAnswer(body={"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}, usage=Usage())


class Impatient(GenericProvider):
    """Comes back within the minute, whatever was named."""

    def _judged(self, raw: bytes, whence: Whence) -> ProviderError:
        error = super()._judged(raw, whence)
        error.retry_at = None
        return error


class Generous(GenericProvider):
    """Says of every failure that it cost nothing."""

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        try:
            return await super().chat(body, timeout_s=timeout_s)
        except ProviderError as error:
            error.billed = Billed.NO
            raise


class Talkative(GenericProvider):
    """Repeats whatever it was told, keys among it."""

    def _judged(self, raw: bytes, whence: Whence) -> ProviderError:
        error = super()._judged(raw, whence)
        error.hint = raw.decode("utf-8", "replace")
        return error


class Leaking(GenericProvider):
    """Lets foreign errors out."""

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        try:
            return await super().chat(body, timeout_s=timeout_s)
        except ProviderError as error:
            raise ConnectionError(str(error)) from error


class Uncounted(GenericProvider):
    """Streams without the chunk of usage."""

    async def stream(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        async for chunk in super().stream(body, timeout_s=timeout_s):
            if chunk["choices"]:
                yield chunk


class Blocking(GenericProvider):
    """Blocks the thread of a running loop."""

    def generate(self, prompt: str, system_prompt: str = "") -> str | None:
        return f"{prompt}{system_prompt}"


WRONG: list[tuple[type[GenericProvider], set[str]]] = [
    (GenericProvider, set()),
    (
        Retrying,
        {
            "test_every_error_of_the_table_is_told", "test_a_stream_that_is_cut_is_no_answer",
            "test_a_page_instead_of_json_is_no_answer", "test_a_page_from_between_may_have_been_paid", "test_nothing_at_all_is_no_answer",
            "test_an_answer_without_a_word_is_none", "test_json_of_another_shape_is_no_answer",
            "test_bytes_that_are_no_text_are_no_answer", "test_a_silent_server_is_given_up_and_may_have_been_paid",
            "test_an_answer_that_stops_in_the_middle_is_given_up", "test_a_connection_that_breaks_may_have_been_paid",
            "test_nothing_is_tried_again", "test_after_every_failure_it_is_good_for_the_next_call", "test_its_key_is_in_no_error",
        },
    ),
    (Dropping, {"test_a_forced_tool_call_has_its_name_and_arguments_that_are_json"}),
    (Picking, {"test_what_it_does_not_know_passes_through"}),
    (Writing, {"test_what_was_asked_is_left_as_it_was"}),
    (Counting, {"test_usage_that_is_missing_is_unknown"}),
    (Trusting, {*CUTS, "test_nothing_is_tried_again"}),
    (
        Content,
        {
            "test_nothing_at_all_is_no_answer", "test_an_answer_without_a_word_is_none",
            "test_after_every_failure_it_is_good_for_the_next_call",
        },
    ),
    (Impatient, {"test_the_moment_a_provider_names_is_kept_to_however_late"}),
    (
        Generous,
        {
            "test_a_stream_that_is_cut_is_no_answer", "test_a_page_instead_of_json_is_no_answer",
            "test_a_page_from_between_may_have_been_paid", "test_what_a_filter_or_the_model_refused_is_not_asked_again",
            "test_a_silent_server_is_given_up_and_may_have_been_paid", "test_an_answer_that_stops_in_the_middle_is_given_up",
            "test_a_connection_that_breaks_may_have_been_paid",
        },
    ),
    (Talkative, {"test_its_key_is_in_no_error"}),
    (
        Leaking,
        {
            name
            for name in names_of("failures")
            if not name.startswith(
                ("test_a_slow", "test_an_answer_that_ran", "test_usage", "test_it_connects", "test_a_call_that", "test_what_it_does")
            )
        }
        - {
            "test_every_error_of_the_table_is_told_of_a_stream", "test_an_error_inside_a_stream_that_began_with_200_is_told",
            "test_an_error_in_the_middle_of_a_stream_says_that_a_part_is_paid",
        },
    ),
    (Uncounted, {"test_a_stream_ends_with_its_usage_and_no_choices"}),
    (Blocking, {"test_the_simple_door_is_there_and_stands_on_no_running_loop"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(api_key=KEY) as running:
        yield running


@pytest.fixture
def prove(upstream: Upstream) -> Callable[..., Any]:
    async def prove(kind: type[GenericProvider], **more: Any) -> list[Outcome]:
        provider = kind("mine", base_url=upstream.base_url, api_key=KEY, models=["fake-1"], timeout_s=20)
        case = ProviderCase(provider=provider, script=upstream.script, asked=upstream.bodies, secret=KEY, echoes=True)
        try:
            return await run_conformance(case=case, staged=case, **more)
        finally:
            await provider.aclose()
            upstream.forget()

    return prove


@pytest.mark.parametrize(("kind", "expected"), WRONG, ids=lambda one: getattr(one, "__name__", ""))
async def test_a_wrong_provider_fails_exactly_the_tests_it_should(
    prove: Callable[..., Any], kind: type[GenericProvider], expected: set[str]
) -> None:
    outcomes = await prove(kind)
    assert {outcome.name for outcome in outcomes if not outcome.passed} == expected
    assert all(outcome.why for outcome in outcomes if not outcome.passed)


async def test_everything_is_run_in_its_order_and_told_as_it_ends(prove: Callable[..., Any]) -> None:
    told: list[Outcome] = []
    outcomes = await prove(GenericProvider, told=told.append)
    assert [outcome.name for outcome in outcomes] == [*names_of("answers"), *names_of("failures")]
    assert told == outcomes
    kit = {name for name in dir(ProviderKit) if name.startswith("test")}
    assert {outcome.name for outcome in outcomes} == kit, "the command line runs what pytest runs"


async def test_a_part_without_a_case_is_left_out() -> None:
    assert await run_conformance() == []


async def test_a_test_that_is_not_over_in_time_has_failed(upstream: Upstream) -> None:
    provider = GenericProvider("mine", base_url=upstream.base_url, api_key=KEY)
    case = ProviderCase(provider=provider)
    upstream.script(*[Fault("hang")] * 100)
    outcomes = await run_conformance(case=case, limit_s=0.05)
    upstream.forget()
    assert {outcome.why for outcome in outcomes if not outcome.passed} >= {"it was not over after 0.05 s"}
    await provider.aclose()


def test_without_assertions_it_refuses_to_run() -> None:
    code = "import asyncio; from perdure.testing import run_conformance; asyncio.run(run_conformance())"
    said = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False)
    assert "skips assertions" in said.stderr


def test_the_runner_needs_no_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; from perdure.testing import ProviderCase, Upstream, run_conformance"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_kit_that_is_bent_quietly_fails() -> None:
    with pytest.raises(TypeError, match="test_nothing_is_tried_again"):

        class Bent(ProviderKit):
            async def test_nothing_is_tried_again(self, staged: ProviderCase) -> None: ...
