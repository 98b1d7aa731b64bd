"""Between the thread of a sync agent and the worker's event loop: calls go over, sync functions come back."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

from perdure.agents.threads import RUNNER, settled_result

__all__ = ["Bridge", "RunStopped"]

T = TypeVar("T")


class RunStopped(BaseException):
    """The run has been stopped; let it through."""


class Bridge:
    """Carries calls from an agent's thread to the loop, and sync functions back.

    Args:
        loop (asyncio.AbstractEventLoop): The worker's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def wait(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Make a call on the loop and wait for what comes of it.

        Args:
            make (Callable[[], Coroutine[Any, Any, T]]): Makes it; called on the loop.

        Returns:
            T: What it returned.

        Raises:
            RunStopped: The run has been stopped.
        """
        inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

        async def here(function: Callable[[], Any]) -> Any:
            return await asyncio.wrap_future(_hand_over(inbox, function))

        async def go() -> T:
            RUNNER.set(here)
            return await make()

        going = go()
        try:
            future = asyncio.run_coroutine_threadsafe(going, self._loop)
        except RuntimeError:  # the loop is gone, and with it the run
            going.close()
            raise RunStopped from None
        future.add_done_callback(lambda _: inbox.put(None))
        while (work := inbox.get()) is not None:
            work()
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise RunStopped from None


def _hand_over(inbox: queue.SimpleQueue[Callable[[], None] | None], function: Callable[[], Any]) -> concurrent.futures.Future[Any]:
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    context = copy_context()

    def work() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(settled_result, function))
        except BaseException as error:
            future.set_exception(error)

    inbox.put(work)
    return future
