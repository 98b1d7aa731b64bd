"""A framework's tools: functions wrapped by `run.tool`, called from wherever a framework calls them."""

from __future__ import annotations

import asyncio
import inspect
import threading
import typing
from typing import Any

import pytest

from perdure import Run, SyncRun, agent, tool
from perdure.agents.journal import StepKind, StepState
from perdure.errors.base import SyncCallInAsync

RAN: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


async def pay(amount: int, to: str = "anna") -> str:
    """Pay money.

    Args:
        amount (int): How much.
        to (str): Whom.
    """
    RAN.append(f"{amount} to {to} in {threading.get_ident()}")
    return f"paid {amount} to {to}"


def pay_now(amount: int, to: str = "anna") -> str:
    """Pay money at once."""
    RAN.append(f"{amount} to {to} in {threading.get_ident()}")
    return f"paid {amount} to {to}"


async def again(world: Any, failing: Any) -> Any:
    ending = await world.failed(failing)
    await world.retry(ending)
    return await world.result(failing)


def once_more(run: Run | SyncRun, found: Any) -> Any:
    if run.attempt == 1:
        raise ValueError("once more")
    return found


async def test_an_async_tool_runs_once(world):
    @agent
    async def works(run: Run) -> Any:
        paying = run.tool(pay)
        return once_more(run, [await paying(1), await paying(amount=2, to="bob"), await paying(1)])

    assert await again(world, works) == ["paid 1 to anna", "paid 2 to bob", "paid 1 to anna"]
    assert len(RAN) == 3
    assert [(step.key.kind, step.key.name) for step in await world.steps()] == [(StepKind.TOOL, "pay")] * 3


async def test_a_sync_tool_that_is_called_in_a_thread_runs_there_and_once(world):
    threads: list[int] = []

    @agent
    async def works(run: Run) -> Any:
        paying = run.tool(pay_now)

        def as_a_framework_does() -> str:
            threads.append(threading.get_ident())
            return paying(1)

        return once_more(run, await asyncio.to_thread(as_a_framework_does))

    assert await again(world, works) == "paid 1 to anna"
    assert [f"1 to anna in {threads[0]}"] == RAN


async def test_the_tools_of_a_sync_agent_run_in_its_thread_or_on_the_loop_that_it_has_there(world):
    here: list[int] = []

    @agent
    def works(run: SyncRun) -> Any:
        here.append(threading.get_ident())
        now, later = run.tool(pay_now), run.tool(pay)
        return once_more(run, [now(1), asyncio.run(later(2))])

    assert await again(world, works) == ["paid 1 to anna", "paid 2 to anna"]
    assert [f"1 to anna in {here[0]}", f"2 to anna in {here[0]}"] == RAN


async def test_a_sync_tool_on_the_runs_own_loop_says_what_to_do(world):
    @agent
    async def works(run: Run) -> None:
        with pytest.raises(SyncCallInAsync, match="event loop") as wrong:
            run.tool(pay_now)(1)
        assert "async def" in (wrong.value.hint or "")

    await world.result(works)
    assert RAN == []


async def test_a_framework_sees_the_function_itself(world):
    @tool(idempotent=True, name="charge")
    async def charging(amount: int) -> str:
        """Charge somebody."""
        return str(amount)

    @agent
    async def works(run: Run) -> None:
        for wrapped, plain in ((run.tool(pay), pay), (run.tool(pay_now), pay_now)):
            assert inspect.signature(wrapped) == inspect.signature(plain)
            assert typing.get_type_hints(wrapped) == typing.get_type_hints(plain)
            assert (wrapped.__name__, wrapped.__doc__) == (plain.__name__, plain.__doc__)
            assert inspect.iscoroutinefunction(wrapped) is inspect.iscoroutinefunction(plain)
        assert run.tool(charging).__name__ == "charge"
        assert await run.tool(charging)(1) == "1"

    await world.result(works)
    [step] = await world.steps()
    assert (step.key.name, step.idempotent, step.tool_version) == ("charge", True, charging.version)


async def test_a_tool_whose_outcome_is_unknown_waits_for_a_person(world):
    async def perhaps() -> str:
        RAN.append("perhaps")
        raise TimeoutError("nobody answered")

    @agent
    async def works(run: Run) -> Any:
        return await run.tool(perhaps)()

    parked = await world.parked(works)
    assert (parked.wait.why, parked.wait.step, RAN) == ("outcome-unknown", 1, ["perhaps"])


async def test_an_error_of_a_tool_is_the_same_on_replay(world):
    def refuses() -> str:
        RAN.append("refused")
        raise LookupError("no such order")

    @agent
    async def works(run: Run) -> Any:
        said = "nothing"
        try:
            await asyncio.to_thread(run.tool(refuses))
        except LookupError as error:
            said = str(error)
        return once_more(run, said)  # out here: raised in there it would go back to the tool, which would be called again

    assert await again(world, works) == "no such order"
    assert RAN == ["refused"]
    assert [step.state for step in await world.steps()] == [StepState.FAILED]
