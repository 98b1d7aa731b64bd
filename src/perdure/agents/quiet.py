"""Calls that do nothing outside the store: values, memory, sleep."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from perdure.agents.call import Call
from perdure.agents.journal import MemoryWrite, StepState
from perdure.agents.steps import Steps
from perdure.messages.message import Wait

__all__ = ["Found", "settled", "slept"]

Found = Callable[[], Awaitable[tuple[bytes, MemoryWrite | None]]]


async def settled(steps: Steps, call: Call, find: Found) -> bytes:
    """Make a call that cannot be ambiguous: one commit holds it all.

    Args:
        steps (Steps): The run's.
        call (Call): The call.
        find (Found): Says the result, and what it changes in the store's memory.

    Returns:
        bytes: The result as JSON, recorded.
    """
    async with steps.opened(call) as here:
        recorded = await steps.recorded(call, here)
        if recorded is not None:
            return recorded
        result, memory = await find()
        await steps.settle(call, result, memory)
        return result


async def slept(steps: Steps, call: Call, seconds: float) -> None:
    """Sleep. The end is fixed when it begins, and stays where it is whatever happens meanwhile.

    Args:
        steps (Steps): The run's.
        call (Call): The call.
        seconds (float): How long.
    """
    async with steps.opened(call) as here:
        if await steps.recorded(call, here) is not None:
            return
        begun = call.found is not None and call.found.state is StepState.INTENT
        until = call.found.until if call.found is not None and begun else None
        if until is None:
            until = steps.parts.clock.now() + seconds
            await steps.intend(call, until=until, diverged=await steps.diverged(call))
        await here.wait(Wait(why="sleep", until=until, step=call.number))
        await steps.record(call, b"null")
