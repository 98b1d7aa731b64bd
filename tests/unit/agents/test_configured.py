"""Agents without code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from perdure.agents.agent import Agent
from perdure.app import build_models, build_worker, load_app
from perdure.config.manager import ConfigManager
from perdure.config.settings import AgentSettings
from perdure.errors.base import ConfigError
from perdure.events import listen
from perdure.messages.message import NewMessage
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeProvider, Upstream, run_agent
from perdure.tools.plain import dump, load

EXAMPLE = Path(__file__).parents[3] / "examples" / "helpdesk"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The current folder is that of the example, whose modules are forgotten afterwards."""
    monkeypatch.chdir(EXAMPLE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield ConfigManager(EXAMPLE, environ={})
    sys.modules.pop("desk", None)


def configured(name: str = "desk", **wanted: Any) -> Agent:
    return load_app(None, {name: AgentSettings(**({"instructions": "Be kind."} | wanted))}).agents[name]


def answers(body: Mapping[str, Any]) -> Any:
    turn = sum(1 for one in body["messages"] if one["role"] == "tool")
    if turn == 0:
        return {"tool_calls": [{"id": "c0", "name": "find_order", "arguments": {"number": "X"}}]}
    if turn == 1:
        return {"tool_calls": [{"id": "c1", "name": "find_order", "arguments": {"number": "B-7"}}]}
    return '{"answer": "It left on Monday.", "solved": true}'


async def test_the_example_runs_without_an_app_over_http(example: ConfigManager, tmp_path: Path) -> None:
    with Upstream(reply=answers) as upstream:
        example.load()
        example.update("providers", {"up": {"base_url": upstream.base_url, "models": ["fake-1"]}})
        example.update("prices", {"up/*": {"input_usd": 1.0, "output_usd": 1.0}})
        example.update("default_model", "up/fake-1")
        settings = example.settings.model_copy(update={"data": tmp_path})
        models = build_models(settings)
        app = load_app(settings.app.module, settings.agents)
        stop, ended, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()
        forget = listen("message.done", lambda name, facts: loop.call_soon_threadsafe(ended.set))
        async with SqliteStore(tmp_path / "perdure.db") as store:
            worker = asyncio.create_task(build_worker(settings, store, models, app).run(stop))
            [receipt] = await store.messages.put([NewMessage(agent="helpdesk", body=dump("Where is B-7?"), session="s")])
            async with asyncio.timeout(30):
                await ended.wait()
            view = await store.messages.get(receipt.id)
            stop.set()
            await worker
        forget()
        await models.aclose()
    assert load(view.result) == {"answer": "It left on Monday.", "solved": True}
    assert (view.usage.calls, view.usage.unpriced) == (3, 0)
    assert view.usage.cost_usd > 0
    [system, *_] = upstream.bodies()[0]["messages"]
    assert "bicycle shop" in system["content"]
    assert upstream.bodies()[0]["temperature"] == 0.0
    assert "there is no order 'X'" in upstream.bodies()[1]["messages"][-1]["content"]


async def test_it_answers_a_text_or_a_prompt_with_a_text() -> None:
    desk = configured()
    for body in ("hello", {"prompt": "hello"}):
        provider = FakeProvider(replies=["hi"])
        assert (await run_agent(desk, body, provider=provider)).result == "hi"
        assert [one["content"] for one in provider.calls[0]["messages"]] == ["Be kind.", "hello"]
    assert desk.card().input_schema is not None
    assert desk.card().output_schema == {"type": "string"}


async def test_with_a_schema_of_its_messages_they_reach_the_model_as_json() -> None:
    provider = FakeProvider(replies=["hi"])
    desk = configured(input={"type": "object", "required": ["n"]})
    await run_agent(desk, {"n": 1}, provider=provider)
    assert provider.calls[0]["messages"][1]["content"] == '{"n":1}'


async def test_a_wrong_answer_is_asked_for_again_and_not_for_ever() -> None:
    desk = configured(output={"type": "object", "required": ["team"]})
    good = FakeProvider(replies=["no", '{"team": "a"}'])
    assert (await run_agent(desk, "x", provider=good)).result == {"team": "a"}
    never = FakeProvider(replies=["no"])
    outcome = await run_agent(desk, "x", provider=never)
    assert (outcome.state, outcome.error.code if outcome.error else None, never.count) == ("dead", "provider-invalid-output", 3)


@pytest.mark.parametrize("memory", [True, False])
async def test_a_session_is_remembered_if_it_is_meant_to_be(world: Any, memory: bool) -> None:
    desk = configured(memory=memory, memory_messages=2)
    for said in ("one", "two", "three"):
        await world.store.messages.done(world.lease, b"1") if world.lease else None
        world.id = 0
        await world.result(desk, said, session="s")
    last = [one["content"] for one in world.provider.calls[-1]["messages"]]
    assert (last[0], last[-1], len(last)) == ("Be kind.", "three", 4 if memory else 2)
    assert ("two" in last) == memory


async def test_its_limits_are_those_of_the_settings() -> None:
    desk = configured(max_steps=1, max_tokens=5, max_time_s=9, max_cost_usd=0.5, attempts=2, queue="q")
    limits = desk.limits
    assert (limits.max_steps, limits.max_tokens, limits.max_time_s, limits.max_cost_usd) == (1, 5, 9, 0.5)
    assert (desk.queue, desk.attempts) == ("q", 2)


def test_what_makes_it_answer_otherwise_makes_it_another_version() -> None:
    assert configured().version == configured().version != configured(instructions="Be brief.").version


@pytest.mark.parametrize(
    ("tools", "says", "hint"),
    [
        (["desk.py:find_ordr"], "'desk.py:find_ordr' is no tool", "'desk.py:find_order'"),
        (["desk.py:ORDERS"], "'desk.py:ORDERS' is no tool", "find_order, open_ticket"),
        (["nowhere:x"], "there is no module 'nowhere'", "Looked in"),
        (["desk.py:find_order", "desk.py:find_order"], "two tools called 'find_order'", "another name"),
    ],
)
def test_a_tool_that_there_is_not_is_told_with_the_nearest(example: Any, tools: list[str], says: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        configured(tools=tools)
    assert says in error.value.message
    assert hint in (error.value.hint or "")


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ConfigError, match="no JSON Schema"):
        configured(output={"type": "colour"})
    with pytest.raises(ConfigError, match="cannot be called"):
        configured(name="no spaces")


def test_a_misspelt_setting_of_an_agent_is_told(tmp_path: Path) -> None:
    (tmp_path / "perdure.toml").write_text('[agents.desk]\ninstructions = "x"\ntool = []\n')
    with pytest.raises(ConfigError, match=r"agents\.desk\.tools"):
        ConfigManager(tmp_path, environ={}).load()


def test_a_schema_in_the_file_may_hold_any_names(tmp_path: Path) -> None:
    (tmp_path / "perdure.toml").write_text('[agents.desk]\ninstructions = "x"\n[agents.desk.output.properties.anything]\ntype = "string"\n')
    manager = ConfigManager(tmp_path, environ={})
    manager.load()
    assert manager.settings.agents["desk"].output == {"properties": {"anything": {"type": "string"}}}
