"""What makes a function an agent."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from perdure.agents.agent import Agent, agent
from perdure.agents.chat import chat
from perdure.agents.registry import App
from perdure.agents.run import Run
from perdure.agents.sync import SyncRun
from perdure.errors.base import ConfigError, InvalidInput, InvalidResult, UnknownAgent


@dataclass
class Ticket:
    text: str
    number: int = 0


class Verdict(pydantic.BaseModel):
    team: str


class Told(TypedDict):
    team: str


class Struct(msgspec.Struct):
    team: str


@agent(queue="support", model="fake/x", provider=None, attempts=3, timeout_s=9.0, memory="shared")
async def triage(run: Run, ticket: Ticket) -> Verdict:
    """Choose a team.

    More about it.
    """
    return Verdict(team=ticket.text)


def test_an_agent_says_of_itself_what_the_registry_wants_to_know() -> None:
    card = triage.card("fake/x")
    assert (card.name, card.queue, card.lane, card.attempts, card.timeout_s) == ("triage", "support", "fake/x", 3, 9.0)
    assert card.description.startswith("Choose a team.")
    assert card.version == triage.version
    assert card.input_schema is not None
    assert (card.input_schema["type"], card.input_schema["required"]) == ("object", ["text"])
    assert card.output_schema is not None
    assert card.output_schema["required"] == ["team"]
    assert (triage.memory, repr(triage)) == ("shared", f"<agent triage@{triage.version}>")
    msgspec.json.encode(card)


def test_an_agent_without_hints_takes_and_gives_anything() -> None:
    @agent
    def bare(run):  # type: ignore[no-untyped-def]
        return {"any": "thing"}

    assert (bare.input_schema, bare.output_schema, bare.takes_payload, bare.is_async) == (None, None, False, False)
    assert bare.read({"a": [1]}) == {"a": [1]}


@pytest.mark.parametrize(
    ("provider", "model", "asked"), [(None, None, None), ("qwen", None, "qwen"), ("qwen", "max", "qwen/max"), (None, "fast", "fast")]
)
def test_provider_and_model_are_one_name(provider: str | None, model: str | None, asked: str | None) -> None:
    assert Agent(lambda run: None, name="a", provider=provider, model=model).model == asked


def test_the_version_is_the_source() -> None:
    def one(run: Run) -> int:
        return 1

    first = agent(one)

    def one(run: Run) -> int:  # type: ignore[no-redef]
        return 2

    assert first.version != agent(one).version
    assert agent(version="v7")(one).version == "v7"


@pytest.mark.parametrize("kind", [Ticket, Verdict, Told, Struct, dict[str, int]], ids=str)
def test_a_payload_is_read_into_its_hint(kind: Any) -> None:
    def takes(run: Run, body: kind) -> kind:  # type: ignore[valid-type]
        return body

    made = agent(takes)
    body: dict[str, Any] = {"text": "x", "number": 1} if kind is Ticket else {"team": "x"}
    if kind == dict[str, int]:
        body = {"a": 1}
    payload = made.read(body)
    assert made.write(payload)
    with pytest.raises(InvalidInput) as raised:
        made.read({"text": 1, "team": 1, "a": "x"})
    assert raised.value.problems


async def test_a_payload_that_does_not_fit_is_permanent(world: Any) -> None:
    ending = await world.failed(triage, {"number": "x"})
    assert (ending.error.code, ending.error.retryable) == ("invalid-input", False)
    assert "payload of agent 'triage'" in ending.error.message


async def test_a_typed_payload_reaches_the_agent(world: Any) -> None:
    assert await world.result(triage, {"text": "billing"}) == {"team": "billing"}


@pytest.mark.parametrize("result", [{"team": 7}, object(), None])
async def test_a_result_that_is_not_what_was_promised_is_permanent(world: Any, result: Any) -> None:
    @agent
    async def lying(run: Run) -> Told:
        return result  # type: ignore[no-any-return]

    ending = await world.failed(lying)
    assert (ending.error.code, ending.error.retryable) == ("invalid-result", False)
    with pytest.raises(InvalidResult):
        lying.write(result)


def test_a_schema_may_be_given_instead_of_a_hint() -> None:
    made = agent(input={"type": "object"}, name="given")(lambda run: None)
    assert made.input_schema == {"type": "object"}
    typed = agent(input=Ticket, name="typed")(lambda run, body: None)
    assert typed.read({"text": "x"}) == Ticket("x")


@pytest.mark.parametrize("function", [lambda: None, lambda run, body, more: None, lambda run, *, body: None])
def test_only_a_function_of_a_run_and_a_payload_is_an_agent(function: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        Agent(function, name="wrong")
    assert raised.value.hint is not None


def test_a_second_parameter_with_more_defaults_is_fine() -> None:
    assert Agent(lambda run, body=None, extra=1: None, name="fine").takes_payload


def test_a_hint_that_names_nothing_is_said_when_it_is_needed() -> None:
    def lost(run: Run, body: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        return None

    made = agent(lost)
    with pytest.raises(ConfigError, match="Nowhere"):
        _ = made.input_schema


async def test_an_agent_is_still_the_function_it_was(world: Any) -> None:
    assert await triage(None, Ticket("x")) == Verdict(team="x")
    assert triage.__doc__ is not None


# App ----------------------------------------------------------------------------------------------


def test_an_app_finds_its_agents_by_name() -> None:
    app = App([triage], name="mine")
    assert dict(app.agents) == {"triage": triage}
    assert app.agent("triage") is triage
    assert app.add(triage) is triage
    with pytest.raises(UnknownAgent, match="'other'"):
        app.agent("other")
    with pytest.raises(TypeError):
        app.agents["x"] = triage  # type: ignore[index]


def test_two_agents_of_one_name_are_refused() -> None:
    other = agent(name="triage")(lambda run: None)
    with pytest.raises(ConfigError, match="two agents"):
        App([triage, other])


def test_a_bare_function_is_no_agent() -> None:
    with pytest.raises(ConfigError, match="no agent"):
        App([lambda run: None])  # type: ignore[list-item]


# The built-in one ---------------------------------------------------------------------------------


async def test_chat_answers_a_whole_openai_request_as_one_step(world: Any) -> None:
    body = {"model": "fake/m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0, "stream": True}
    answer = await world.result(chat, body)
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "answer to: Hi"
    assert world.provider.calls == [{"model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}]
    assert len(await world.steps()) == 1
    assert chat.name == "chat"
    assert chat.input_schema is not None
    assert chat.input_schema["required"] == ["messages"]


def test_what_users_import_is_light() -> None:
    heavy = ("pydantic", "aiohttp", "jsonschema_rs", "starlette", "apsw")
    code = f"import sys; from perdure import agent, tool, App, Run, SyncRun; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_sync_run_has_the_names_of_a_run() -> None:
    public = {name for name in dir(Run) if not name.startswith("_")}
    assert public == {name for name in dir(SyncRun) if not name.startswith("_")}


def test_limits_of_tokens_and_of_cost_are_the_agents() -> None:
    @agent(max_tokens=5, max_cost_usd=1.5)
    async def careful(run: Run) -> None: ...

    assert (careful.limits.max_tokens, careful.limits.max_cost_usd) == (5, 1.5)
