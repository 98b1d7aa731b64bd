"""Unmodified `openai` clients inside an agent: their calls are steps of the run (SEMANTICS 17)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest

from perdure import Run, SyncRun, agent
from perdure.agents.journal import StepKind, StepState
from perdure.agents.occurrences import NAME, Occurrences
from perdure.errors.base import AuthenticationFailed, InvalidRequest, RateLimited, ServerFailed
from perdure.providers.deployments import Deployments
from perdure.providers.models import Models
from perdure.providers.target import Target
from perdure.testing import FakeProvider, Fault
from perdure.worker.endpoint import Endpoint


@pytest.fixture(autouse=True)
async def endpoint(world: Any) -> AsyncIterator[Endpoint]:
    made = Endpoint()
    world.more["endpoint"] = made
    world.provider = Gated()
    yield made
    await made.close_all()


class Gated(FakeProvider):
    """Repeats what it is asked. Of a text that names a gate it says the first half at once, and the other when that is opened."""

    def __init__(self) -> None:
        super().__init__(replies=lambda body: f"to {body['messages'][-1]['content']}")
        self.gates: dict[str, asyncio.Event] = {}
        self.reached: dict[str, asyncio.Event] = {}

    def gate(self, text: str) -> None:
        self.gates[text], self.reached[text] = asyncio.Event(), asyncio.Event()

    async def chat(self, body: Any, *, timeout_s: float | None = None) -> Any:
        answer = await super().chat(body, timeout_s=timeout_s)
        if not body.get("streams"):
            await self._held(body)
        return answer

    async def stream(self, body: Any, *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        half = False
        async for chunk in super().stream({**body, "streams": True}, timeout_s=timeout_s):
            yield chunk
            if not half and chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                half = True
                await self._held(body)

    async def _held(self, body: Any) -> None:
        text = body["messages"][-1]["content"]
        if text in self.gates:
            self.reached[text].set()
            await self.gates[text].wait()


def client_of(run: Run | SyncRun, **more: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=run.openai_base_url, api_key=run.openai_api_key, **more)


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "fake/fake-1", "messages": [{"role": "user", "content": text}]} | more


async def said(client: openai.AsyncOpenAI, text: str, **more: Any) -> str:
    answer = await client.chat.completions.create(**asked(text, **more))
    return answer.choices[0].message.content or ""


async def streamed(client: openai.AsyncOpenAI, text: str, **more: Any) -> str:
    stream = await client.chat.completions.create(**asked(text, stream=True, **more))
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


async def again(world: Any, failing: Any) -> Any:
    """Have an attempt end with an error, and another one made."""
    ending = await world.failed(failing)
    await world.retry(ending)
    return await world.result(failing)


def failing_once(work: Callable[[Run], Any]) -> Any:
    """An agent that does its work and then fails, the first time."""

    @agent
    async def works(run: Run) -> Any:
        found = await work(run)
        if run.attempt == 1:
            raise ValueError("once more")
        return found

    return works


async def test_a_recorded_answer_is_not_asked_for_again(world):
    async def work(run: Run) -> list[str]:
        async with client_of(run) as client:
            return [await said(client, text) for text in ("a", "b", "c")]

    assert await again(world, failing_once(work)) == ["to a", "to b", "to c"]
    assert world.provider.count == 3
    steps = await world.steps()
    assert [(step.key.kind, step.key.name, step.state) for step in steps] == [(StepKind.LLM, NAME, StepState.DONE)] * 3


async def test_a_sync_agents_client_is_served_as_well(world):
    @agent
    def asks(run: SyncRun) -> list[str]:
        with openai.OpenAI(base_url=run.openai_base_url, api_key=run.openai_api_key) as client:
            found = [client.chat.completions.create(**asked(text)).choices[0].message.content or "" for text in ("a", "b")]
        if run.attempt == 1:
            raise ValueError("once more")
        return found

    assert await again(world, asks) == ["to a", "to b"]
    assert world.provider.count == 2


async def test_a_client_in_a_thread_of_an_async_agent_is_served_as_well(world):
    async def work(run: Run) -> str:
        def beside() -> str:
            with openai.OpenAI(base_url=run.openai_base_url, api_key=run.openai_api_key) as client:
                return client.chat.completions.create(**asked("a")).choices[0].message.content or ""

        return await asyncio.to_thread(beside)

    assert await again(world, failing_once(work)) == "to a"
    assert world.provider.count == 1


async def test_equal_calls_one_after_the_other_are_two_calls(world):
    async def work(run: Run) -> list[str]:
        async with client_of(run) as client:
            return [await said(client, "a"), await said(client, "a")]

    await again(world, failing_once(work))
    assert world.provider.count == 2


async def test_calls_in_another_order_are_found_by_their_content(world):
    async def work(run: Run) -> list[str]:
        async with client_of(run) as client:
            texts = ["a", "b", "c"] if run.attempt == 1 else ["c", "b", "a"]
            return sorted(await asyncio.gather(*(said(client, text) for text in texts)))

    assert await again(world, failing_once(work)) == ["to a", "to b", "to c"]
    assert world.provider.count == 3


async def test_what_says_only_how_an_answer_travels_makes_no_other_call(world):
    async def work(run: Run) -> str:
        async with client_of(run) as client:
            if run.attempt == 1:
                return await streamed(client, "a", user="u", stream_options={"include_usage": True})
            return await said(client, "a", metadata={"x": "y"})

    assert await again(world, failing_once(work)) == "to a"
    assert world.provider.count == 1


async def test_a_whole_answer_is_replayed_piece_by_piece_to_who_asks_for_that(world):
    found = []

    async def work(run: Run) -> str:
        async with client_of(run) as client:
            if run.attempt == 1:
                return await said(client, "a")
            stream = await client.chat.completions.create(**asked("a", stream=True, stream_options={"include_usage": True}))
            found.extend([chunk async for chunk in stream])
            return "".join(chunk.choices[0].delta.content or "" for chunk in found if chunk.choices)

    assert await again(world, failing_once(work)) == "to a"
    assert world.provider.count == 1
    assert [chunk.choices[0].finish_reason for chunk in found if chunk.choices][-1] == "stop"
    assert found[-1].usage is not None
    assert found[-1].usage.total_tokens > 0


async def test_a_stream_is_passed_on_while_it_comes(world):
    world.provider.gate("long text")

    async def work(run: Run) -> str:
        async with client_of(run) as client:
            stream = await client.chat.completions.create(**asked("long text", stream=True))
            text = ""
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
                if text:
                    world.provider.gates["long text"].set()  # never reached if it came whole
            return text

    assert await again(world, failing_once(work)) == "to long text"
    assert world.provider.count == 1


async def test_the_end_of_a_stream_comes_once_it_is_recorded(world):
    seen: list[str | None] = []

    class Watching:
        def __init__(self, journal: Any) -> None:
            self._journal = journal

        def __getattr__(self, name: str) -> Any:
            return getattr(self._journal, name)

        async def record(self, *given: Any, **named: Any) -> None:
            assert not any(seen), "whoever has the end has what is recorded"
            await self._journal.record(*given, **named)
            seen.append("recorded")

    world.wrap_journal = Watching

    @agent
    async def asks(run: Run) -> None:
        async with client_of(run) as client:
            async for chunk in await client.chat.completions.create(**asked("a", stream=True)):
                seen.append(chunk.choices[0].finish_reason)  # noqa: PERF401 - piece by piece, as it is recorded meanwhile

    await world.result(asks)
    assert [one for one in seen if one] == ["recorded", "stop"]


async def test_a_clients_retry_is_attached_to_the_call_that_runs(world):
    world.provider.gate("slow to come")

    @agent
    async def asks(run: Run) -> str:
        async with client_of(run) as client:
            first = asyncio.create_task(streamed(client, "slow to come"))
            await world.provider.reached["slow to come"].wait()
            first.cancel()  # the client hangs up, as it does when its time is up
            await asyncio.wait({first})
            text = ""
            async for chunk in await client.chat.completions.create(**asked("slow to come", stream=True)):
                text += chunk.choices[0].delta.content or ""
                world.provider.gates["slow to come"].set()  # what came before the retry is there again, what comes after follows
            return text

    assert await world.result(asks) == "to slow to come"
    assert world.provider.count == 1
    assert world.count("step.twin") == 0


async def test_a_clients_retry_is_attached_to_a_call_that_has_ended_meanwhile(world):
    world.provider.gate("slow")

    @agent
    async def asks(run: Run) -> list[str]:
        async with client_of(run) as client:
            first = asyncio.create_task(said(client, "slow"))
            await world.provider.reached["slow"].wait()
            first.cancel()
            await asyncio.wait({first})
            world.provider.gates["slow"].set()
            await until(lambda: world.count("step.recorded") == 1)
            return [await said(client, "slow"), await said(client, "slow")]  # the second is a new one

    assert await world.result(asks) == ["to slow", "to slow"]
    assert world.provider.count == 2


async def test_an_equal_call_while_the_first_is_being_read_is_another_call(world):
    world.provider.gate("slow")

    @agent
    async def asks(run: Run) -> list[str]:
        async with client_of(run) as client:
            both = [asyncio.create_task(said(client, "slow")) for _ in range(2)]
            await until(lambda: world.provider.count == 2)
            world.provider.gates["slow"].set()
            return list(await asyncio.gather(*both))

    assert await world.result(asks) == ["to slow", "to slow"]
    assert world.count("step.twin") == 1


async def test_a_retry_that_is_quicker_than_the_news_of_its_first_connection_is_attached_too(world, monkeypatch):
    world.provider.gate("slow")
    come: list[bool] = []
    ask = Occurrences.ask

    def seen(self: Occurrences, scope: str, body: Any, *, again: bool = False) -> Any:
        come.append(again)
        return ask(self, scope, body, again=again)

    monkeypatch.setattr(Occurrences, "ask", seen)

    @agent
    async def asks(run: Run) -> list[str]:
        async with client_of(run) as client:
            first = asyncio.create_task(said(client, "slow"))
            await world.provider.reached["slow"].wait()
            retry = asyncio.create_task(said(client, "slow", extra_headers={"x-stainless-retry-count": "1"}))
            await until(lambda: come == [False, True])
            world.provider.gates["slow"].set()
            return [*await asyncio.gather(first, retry), await said(client, "slow", extra_headers={"x-stainless-retry-count": "1"})]

    assert await world.result(asks) == ["to slow"] * 3
    assert world.provider.count == 2, "what was read to its end is used up, whatever a client says"


async def test_what_nobody_waits_for_any_more_is_recorded_all_the_same(world):
    world.provider.gate("slow")

    @agent
    async def asks(run: Run) -> None:
        async with client_of(run) as client:
            first = asyncio.create_task(said(client, "slow"))
            await world.provider.reached["slow"].wait()
            first.cancel()
        world.provider.gates["slow"].set()

    await world.result(asks)
    assert [step.state for step in await world.steps()] == [StepState.DONE]


async def test_calls_of_two_scopes_are_told_apart(world):
    async def work(run: Run) -> list[str]:
        async def one(place: int) -> str:
            async with client_of(run) as client:
                return await said(client, "the same")

        with run.scope("odd / name.."):
            return await run.map("each", one, [0, 1])

    await again(world, failing_once(work))
    assert world.provider.count == 2
    assert world.count("step.twin") == 0
    assert [step.key.scope for step in await world.steps()] == ["odd / name../each[0]", "odd / name../each[1]"]


async def test_the_failed_call_that_ended_the_attempt_is_made_again(world):
    world.provider.script(Fault("status", status=500))

    @agent
    async def asks(run: Run) -> str:
        async with client_of(run) as client:
            return await said(client, "a")

    ending = await world.failed(asks)
    assert (ending.error.code, ending.step) == (ServerFailed.code, 1)
    await world.retry(ending)
    assert await world.result(asks) == "to a"
    assert world.provider.count == 2  # the client itself has not retried


async def test_a_failed_call_that_the_agent_caught_fails_again_for_nothing(world):
    world.provider.script(Fault("status", status=500))

    async def work(run: Run) -> str:
        async with client_of(run) as client:
            try:
                return await said(client, "a")
            except openai.InternalServerError as error:
                return str(error.code)

    assert await again(world, failing_once(work)) == "provider_server"
    assert world.provider.count == 1


@pytest.mark.parametrize("wrap", ["raise", "from", "context", "group"])
async def test_a_clients_error_in_an_error_of_a_framework_goes_back_to_its_step(world, wrap):
    world.provider.script(Fault("status", status=400))

    class OfFramework(Exception):
        def __init__(self, body: object) -> None:
            self.body = body

    @agent
    async def asks(run: Run) -> str:
        async with client_of(run) as client:
            try:
                return await said(client, "a")
            except openai.APIStatusError as error:
                if wrap == "raise":
                    raise
                if wrap == "from":
                    raise OfFramework(error.body) from error
                if wrap == "group":
                    raise ExceptionGroup("several", [error]) from None
                raise ValueError("of the agent's own")  # noqa: B904

    ending = await world.failed(asks)
    assert ending.step == 1
    if wrap == "context":
        assert ending.error.retryable
    else:
        assert (ending.error.code, ending.error.retryable) == (InvalidRequest.code, False)


async def test_a_stream_that_breaks_is_an_error_and_is_never_joined_with_another_answer(world):
    world.provider.script(Fault("cut", after=2))
    got: list[str] = []

    class Cut(FakeProvider):
        async def stream(self, body: Any, *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
            n = 0
            async for chunk in super().stream(body, timeout_s=timeout_s):
                yield chunk
                n += 1
                if self.count == 1 and n == 2:
                    raise ServerFailed("broke off")

    world.provider = Cut(replies=["a long answer in pieces"])

    @agent
    async def asks(run: Run) -> str:
        async with client_of(run) as client:
            stream = await client.chat.completions.create(**asked("a", stream=True))
            got.clear()
            async for chunk in stream:
                got.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - also what came before it broke
            return "".join(got)

    ending = await world.failed(asks)
    assert 0 < len("".join(got)) < len("a long answer in pieces")
    assert (ending.error.code, ending.step) == (ServerFailed.code, 1)
    await world.retry(ending)
    assert await world.result(asks) == "a long answer in pieces"
    assert world.provider.count == 2


async def test_before_anything_was_said_a_stream_is_asked_for_elsewhere(world):
    first, second = FakeProvider("first"), FakeProvider("second", replies=["of the second"])
    first.script(Fault("status", status=503))
    both = Deployments(name="both", targets=(Target(first, "fake-1"), Target(second, "fake-1")))
    world.more["models"] = Models({"first": first, "second": second}, {"both": both}, "both")

    @agent
    async def asks(run: Run) -> str:
        async with client_of(run) as client:
            return await streamed(client, "a", model="both")

    assert await world.result(asks) == "of the second"


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_long_wait_parks_the_run_and_the_call_is_made_when_it_goes_on(world, kind):
    moment = world.clock.now() + 600
    world.provider = FakeProvider(replies=[RateLimited("fake", retry_at=moment), "at last"])
    errors: list[Exception] = []

    def blocking(run: SyncRun) -> str:
        with openai.OpenAI(base_url=run.openai_base_url, api_key=run.openai_api_key) as client:
            try:
                return client.chat.completions.create(**asked("a")).choices[0].message.content or ""
            except openai.APIStatusError as error:
                errors.append(error)
                raise

    async def waiting(run: Run) -> str:
        async with client_of(run) as client:
            return await said(client, "a")

    asks = agent(name="asks")(blocking if kind == "sync" else waiting)
    ending = await world.parked(asks)
    assert (ending.wait.why, ending.hung) == ("rate-limit", False)
    assert [error.status_code for error in errors] == ([410] if kind == "sync" else [])
    await world.wake(ending)
    assert await world.result(asks) == "at last"
    assert world.provider.count == 2


async def test_an_account_that_needs_a_person_parks_the_run(world):
    world.provider = FakeProvider(replies=[AuthenticationFailed("no"), "at last"])

    @agent
    async def asks(run: Run) -> str:
        async with client_of(run) as client:
            return await said(client, "a")

    ending = await world.parked(asks)
    assert ending.wait.why == "account"


async def test_a_limit_of_the_run_ends_it_as_it_does_for_other_calls(world):
    @agent(max_steps=1)
    async def asks(run: Run) -> None:
        async with client_of(run) as client:
            await said(client, "a")
            await said(client, "b")

    ending = await world.failed(asks)
    assert (ending.error.code, ending.error.retryable) == ("limit-steps", False)
    assert world.provider.count == 1


async def test_a_wrong_request_is_told_as_openai_does_and_never_leaves(world):
    @agent
    async def asks(run: Run) -> None:
        async with client_of(run) as client:
            with pytest.raises(openai.BadRequestError) as wrong:
                await client.chat.completions.create(model="fake/fake-1", messages=[])
            assert (wrong.value.param, wrong.value.type) == ("messages", "invalid_request_error")
            with pytest.raises(openai.NotFoundError) as unknown:
                await client.chat.completions.create(**asked("a", model="gone"))
            assert unknown.value.code == "model_not_found"

    await world.result(asks)
    assert world.provider.count == 0


async def test_what_a_call_used_is_the_runs(world):
    @agent
    async def asks(run: Run) -> None:
        async with client_of(run) as client:
            await said(client, "one two three")
            await streamed(client, "one two three four")

    ending = await world.attempt(asks)
    assert (ending.usage.calls, ending.usage.input_tokens) == (2, 7)


async def test_a_model_that_is_not_named_is_the_agents(world):
    @agent(model="fake/fake-1")
    async def asks(run: Run) -> str:
        async with client_of(run) as client:
            answer = await client.post("/chat/completions", body={"messages": asked("a")["messages"]}, cast_to=object)
        return str(answer)

    assert "to a" in await world.result(asks)


async def until(true: Callable[[], Any]) -> None:
    """Let others go on until something is so."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
