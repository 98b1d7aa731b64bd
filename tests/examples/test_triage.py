"""The example agent, without a model and with a crash after every step."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from perdure.agents.journal import StepKind
from perdure.testing import FakeProvider, run_agent

EXAMPLE = Path(__file__).parents[2] / "examples" / "triage.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("triage_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def scripted(team: str, asks_for: str) -> FakeProvider:
    call: dict[str, Any] = {"tool_calls": [{"name": "who_is_on_call", "arguments": {"team": asks_for}}]}
    return FakeProvider(replies=[f'{{"team": "{team}", "urgent": true}}', call, "It is done.", " We are on it. "])


async def test_a_ticket_is_triaged_the_same_whichever_step_a_crash_follows(example: ModuleType) -> None:
    body = {"ticket": "I was charged twice.", "customer": "petra"}
    outcome = await run_agent(
        example.triage, body, provider=scripted("billing", "billing"), memory={"petra": ["account"]}, crash_after="every"
    )
    assert outcome.result == {"team": "billing", "urgent": True, "assignee": "ines", "reply": "We are on it.", "tickets_before": 1}
    assert outcome.memory == {"petra": ["account", "billing"]}
    assert [step.key.kind for step in outcome.steps].count(StepKind.TOOL) == 1


async def test_a_toy_that_asks_for_a_team_that_is_none_is_helped(example: ModuleType) -> None:
    outcome = await run_agent(example.triage, {"ticket": "Smoke!"}, provider=scripted("safety", "fire brigade"))
    assert (outcome.result["assignee"], outcome.result["tickets_before"]) == ("sam", 0)


def test_the_app_is_where_the_command_line_looks_for_it(example: ModuleType) -> None:
    assert list(example.app.agents) == ["triage"]
    assert example.triage.input_schema["required"] == ["ticket"]
    assert set(example.triage.output_schema["properties"]) == {"team", "urgent", "assignee", "reply", "tickets_before"}
