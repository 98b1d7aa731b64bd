"""The example of an approval, with everything that can come of it, and a crash after every step."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from perdure.testing import FakeProvider, run_agent

EXAMPLE = Path(__file__).parents[2] / "examples" / "approval.py"
ORDER = {"order": "INV-1", "amount": 120}


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("approval_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


async def outcome(example: ModuleType, body: Any = ORDER, answers: str = "fine", **how: Any) -> Any:
    return await run_agent(example.refund, body, others=[example.look_into], provider=FakeProvider(replies=[answers] * 9), **how)


async def test_an_approved_refund_is_paid_the_same_whichever_step_a_crash_follows(example: ModuleType) -> None:
    found = await outcome(example, signals=[("approval", {"by": "ada", "ok": True})], crash_after="every")
    assert found.result == {"order": "INV-1", "refunded": True, "receipt": "120 for INV-1", "concerns": []}
    assert [step.key.kind.value for step in found.steps] == ["send", "result", "wait", "step"]
    assert found.calls == 3


async def test_it_waits_for_a_person_and_for_a_week(example: ModuleType) -> None:
    found = await outcome(example)
    assert found.result == {"order": "INV-1", "refunded": False, "because": "nobody approved it within a week"}
    assert found.parks == 2, "for those it sent, and for the person"


async def test_what_a_person_declines_is_not_paid(example: ModuleType) -> None:
    found = await outcome(example, signals=[("approval", {"by": "ada", "ok": False})])
    assert found.result["because"] == "ada declined"


async def test_a_small_refund_without_concerns_needs_nobody(example: ModuleType) -> None:
    assert (await outcome(example, {"order": "INV-2", "amount": 5})).result["refunded"]


async def test_a_concern_asks_for_a_person_however_small_it_is(example: ModuleType) -> None:
    found = await outcome(
        example, {"order": "INV-2", "amount": 5}, answers="never shipped", signals=[("approval", {"by": "tom", "ok": True})]
    )
    assert found.result["concerns"] == ["never shipped"] * 3
