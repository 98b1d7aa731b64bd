"""Sync functions of a run, in threads that are watched to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Any, TypeAlias, TypeVar

__all__ = ["RUNNER", "Runner", "Threads", "settled_result"]

T = TypeVar("T")
Runner: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
RUNNER: ContextVar[Runner | None] = ContextVar("perdure_runner", default=None)
"""Where sync tools run; a sync agent sets it to its own thread."""


def settled_result(function: Callable[[], T]) -> T:
    """Call a function whose outcome a future will carry.

    Args:
        function (Callable[[], T]): Takes nothing.

    Returns:
        T: What it returns.

    Raises:
        RuntimeError: It raised `StopIteration`, which no future can carry.
    """
    try:
        return function()
    except StopIteration as error:
        raise RuntimeError(f"the function raised StopIteration({error.value!r})") from error


class Threads:
    """The threads of one run."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: set[object] = set()
        self._ended: asyncio.Event | None = None  # most runs have no thread

    async def run(self, executor: Executor | None, function: Callable[[], T]) -> T:
        """Run a function in a thread, in the caller's context.

        Args:
            executor (Executor | None): Whose thread; None is the loop's own pool.
            function (Callable[[], T]): Takes nothing.

        Returns:
            T: What it returns.
        """
        context, token = copy_context(), object()

        def work() -> T:
            self._running.add(token)
            try:
                return context.run(settled_result, function)
            finally:
                with suppress(RuntimeError):  # the loop is gone: nobody waits any more
                    self._loop.call_soon_threadsafe(self._end, token)

        return await self._loop.run_in_executor(executor, work)

    async def ended(self, within_s: float) -> bool:
        """Wait for the threads that still run.

        Args:
            within_s (float): At most this long.

        Returns:
            bool: False if one goes on.
        """
        end = self._loop.time() + within_s
        while self._running:
            self._ended = asyncio.Event()
            try:
                await asyncio.wait_for(self._ended.wait(), max(0.0, end - self._loop.time()))
            except TimeoutError:
                return not self._running
        return True

    def _end(self, token: object) -> None:
        self._running.discard(token)
        if self._ended is not None:
            self._ended.set()
