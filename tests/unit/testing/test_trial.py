"""`run_agent`: what a user tests agents with, tested."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.agents.agent import agent
from perdure.agents.journal import StepState
from perdure.agents.run import Run
from perdure.agents.sync import SyncRun
from perdure.errors.base import RateLimited, ServerFailed
from perdure.messages.message import State
from perdure.testing import FakeProvider, run_agent
from perdure.tools.tool import tool


def three_calls(ran: list[int]) -> Any:
    @tool
    def pay(amount: int) -> dict[str, int]:
        ran.append(amount)
        return {"paid": amount}

    @agent
    async def paying(run: Run, order: dict[str, int]) -> dict[str, Any]:
        read = await run.ask("read", f"Read {order['n']}")
        choose = await run.ask("choose", f"Choose: {read}")
        receipt = await run.call(pay, order["n"])
        await run.memory.store("last", order["n"])
        await run.sleep(30 * 24 * 3600)
        said = await run.ask("say", f"Say: {choose}")
        return {"said": said, "receipt": receipt, "year": (await run.now()).year}

    return paying


async def test_a_crash_after_any_step_of_a_three_call_agent_changes_nothing() -> None:
    ran: list[int] = []
    outcome = await run_agent(three_calls(ran), {"n": 7}, crash_after="every")
    assert outcome.state is State.DONE
    assert outcome.result["receipt"] == {"paid": 7}
    assert (outcome.calls, outcome.possibly_paid_twice, outcome.parks, outcome.memory) == (3, 0, 1, {"last": 7})
    assert len(ran) == 1 + 7, "once in the run without a crash, and once for each of the seven crashes"


@pytest.mark.parametrize("place", range(1, 8))
async def test_a_crash_after_a_step_is_one_crash_and_costs_nothing(place: int) -> None:
    ran: list[int] = []
    outcome = await run_agent(three_calls(ran), {"n": 7}, crash_after=place)
    assert (outcome.crashes, outcome.calls, outcome.possibly_paid_twice, ran) == (1, 3, 0, [7])
    assert [step.state for step in outcome.steps] == [StepState.DONE] * 7


async def test_a_crash_during_an_llm_call_is_counted() -> None:
    outcome = await run_agent(three_calls([]), {"n": 7}, crash_during=2)
    assert (outcome.state, outcome.possibly_paid_twice) == (State.DONE, 1)
    assert outcome.usage is not None
    assert outcome.usage.paid_again == 1


async def test_a_crash_during_a_tool_leaves_the_question_to_a_person() -> None:
    ran: list[int] = []
    outcome = await run_agent(three_calls(ran), {"n": 7}, crash_during=3)
    assert outcome.state is State.WAITING
    assert outcome.wait is not None
    assert (outcome.wait.why, outcome.wait.step, ran) == ("outcome-unknown", 3, [])


async def test_an_agent_that_does_something_behind_the_journals_back_is_found_out() -> None:
    behind: list[int] = []

    @agent
    async def careless(run: Run) -> int:
        behind.append(1)
        await run.ask("one", "x")
        return len(behind)

    with pytest.raises(AssertionError, match="after a crash at step 1"):
        await run_agent(careless, None, crash_after="every")


async def test_a_failed_attempt_is_tried_again() -> None:
    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    outcome = await run_agent(asking, None, provider=FakeProvider(replies=[ServerFailed("oops"), "fine"]), crash_after="every")
    assert (outcome.result, outcome.attempts) == ("fine", 2)


async def test_what_fails_for_good_is_dead_with_its_error() -> None:
    @agent
    async def failing(run: Run) -> None:
        raise ValueError("never")

    outcome = await run_agent(failing, None, attempts=2)
    assert (outcome.state, outcome.result, outcome.attempts) == (State.DEAD, None, 2)
    assert outcome.error is not None
    assert outcome.error.message == "never"


async def test_memory_from_before_is_there() -> None:
    @agent
    def remembering(run: SyncRun) -> Any:
        return run.memory.retrieve("who")

    outcome = await run_agent(remembering, None, memory={"who": "ann"})
    assert (outcome.result, outcome.memory) == ("ann", {"who": "ann"})


async def test_a_limit_costs_no_time_here() -> None:
    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    replies = iter([RateLimited("slow down", retry_at=1_790_000_000.0 + 86_400), "fine"])
    outcome = await run_agent(asking, None, provider=FakeProvider(replies=lambda body: next(replies)))
    assert (outcome.result, outcome.parks, outcome.attempts) == ("fine", 1, 1)
