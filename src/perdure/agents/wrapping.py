"""Functions of an agent in the hands of a framework: called by it, each call is a step of the run.

A framework calls from wherever it likes: from the run's own loop, from a thread, from a loop of its own. The step is taken
on the run's loop; the function itself runs where it was called, so that what it holds there stays usable there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, TypeAlias

from perdure.agents.bridge import Bridge, RunStopped
from perdure.errors.base import SyncCallInAsync
from perdure.tools.tool import Tool

__all__ = ["Make", "wrapped"]

Make: TypeAlias = Callable[[tuple[Any, ...], Mapping[str, Any], Callable[..., Any]], Coroutine[Any, Any, Any]]
"""Takes arguments, and what to do with them; makes the step."""


def wrapped(tool: Tool, make: Make, loop: asyncio.AbstractEventLoop) -> Callable[..., Any]:
    """Put a step around a function.

    Args:
        tool (Tool): The function.
        make (Make): Makes the step; called on the loop.
        loop (asyncio.AbstractEventLoop): The run's.

    Returns:
        Callable[..., Any]: Looks like the function, and is async if that is.
    """

    @wraps(tool.function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        mine = asyncio.get_running_loop()
        if mine is loop:
            return await make(args, kwargs, tool.function)

        def here(**ready: Any) -> Any:
            return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(tool.function(**ready), mine))

        return await _elsewhere(lambda: make(args, kwargs, here), loop)

    @wraps(tool.function)
    def called(*args: Any, **kwargs: Any) -> Any:
        if asyncio._get_running_loop() is loop:
            raise SyncCallInAsync(
                f"{tool.name!r} is sync and was called on the event loop's own thread, where nothing can wait for its step",
                hint="Make it `async def`, or have the framework call it in a thread.",
            )
        return Bridge(loop).wait(lambda: make(args, kwargs, tool.function))

    found = awaited if tool.is_async else called
    found.__name__ = tool.name
    return found


async def _elsewhere(make: Callable[[], Coroutine[Any, Any, Any]], loop: asyncio.AbstractEventLoop) -> Any:
    """Make a step on another loop than one's own."""

    async def go() -> Any:
        return await make()

    future = asyncio.run_coroutine_threadsafe(go(), loop)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RunStopped from None  # the run was parked or lost; nobody cancelled us
