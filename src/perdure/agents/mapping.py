"""The same for many items at once, each in a scope of its own.

The first failure stops the others so that nothing is lost by it: no new call begins, calls under way end
and are recorded, and only then is each of them cancelled. All that failed are made again together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from perdure.agents.call import SCOPE
from perdure.agents.steps import Steps
from perdure.agents.waits import BRANCH, Branch
from perdure.resources.bulkhead import Bulkhead

__all__ = ["in_scope", "mapped"]

T = TypeVar("T")


def in_scope(outer: str, name: str) -> str:
    """Name a scope inside another one.

    Args:
        outer (str): The empty string for the run itself.
        name (str): Its own name.

    Returns:
        str: Joined with `/`.
    """
    return f"{outer}/{name}" if outer else name


async def mapped(steps: Steps, name: str, function: Callable[[T], Any], items: Iterable[T], *, limit: int) -> list[Any]:
    """Do the same for each item, several at once.

    Args:
        steps (Steps): The run's.
        name (str): Names the scopes: `name[0]`, `name[1]` and so on.
        function (Callable[[T], Any]): What to do, async or not.
        items (Iterable[T]): For what.
        limit (int): At most this many at once.

    Returns:
        list[Any]: In the order of the items.

    Raises:
        Exception: The first failure.
    """
    gate = Bulkhead(limit)
    outer, around = SCOPE.get(), BRANCH.get()
    branches: list[Branch] = []
    tasks: list[asyncio.Task[Any]] = []

    async def one(place: int, item: T) -> Any:
        async with gate:
            SCOPE.set(in_scope(outer, f"{name}[{place}]"))
            BRANCH.set(branches[place])
            answer = function(item)
            return await answer if isinstance(answer, Awaitable) else answer

    for place, item in enumerate(items):
        branches.append(Branch(around))
        tasks.append(asyncio.create_task(one(place, item)))
    try:
        await _until_failure(tasks)
        failed = [task for task in tasks if _failed(task)]
        if failed:
            await _stop(tasks, branches)
            raise _first_of(steps, failed[0], tasks)
        return [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _until_failure(tasks: list[asyncio.Task[Any]]) -> None:
    if tasks:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)


async def _stop(tasks: list[asyncio.Task[Any]], branches: list[Branch]) -> None:
    for task, branch in zip(tasks, branches, strict=True):
        if not task.done():
            branch.stop(task)
    await asyncio.wait(tasks)


def _first_of(steps: Steps, first: asyncio.Task[Any], tasks: list[asyncio.Task[Any]]) -> BaseException:
    error = first.exception()
    for task in tasks:
        other = task.exception() if _failed(task) else None
        if error is not None and other is not None and task is not first:
            steps.blame.join(error, other)
    return error or asyncio.CancelledError()


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
