"""An event loop on a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from perdure.errors.base import Conflict, SyncCallInAsync

_Answer = TypeVar("_Answer")
_CLOSE_S = 10.0

__all__ = ["Background"]


class Background:
    """Runs coroutines on one background thread, started at the first call, and waits for them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def wait(self, call: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Run a coroutine to its end.

        Args:
            call (Coroutine[Any, Any, _Answer]): What to do; it limits itself in time.

        Returns:
            _Answer: What it returned.

        Raises:
            SyncCallInAsync: Called on the thread of a running event loop, which would stand still meanwhile.
            Conflict: It was closed before.
        """
        try:
            loop = self._running()
        except BaseException:
            call.close()
            raise
        future = asyncio.run_coroutine_threadsafe(call, loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C in the waiting thread: let the call end, too
            future.cancel()
            raise

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run one last coroutine, then end the thread. Closing twice does nothing.

        Args:
            last (Coroutine[Any, Any, None]): What is to be tidied up.
        """
        with self._starting:
            loop, self._loop, self._closed = self._loop, None, True
        if loop is None or self._thread is None:
            last.close()
            return
        asyncio.run_coroutine_threadsafe(last, loop).result(_CLOSE_S)
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(_CLOSE_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        if _on_a_loop():
            raise SyncCallInAsync("the blocking client was called on the thread of a running event loop", hint="Use `AsyncClient` there.")
        with self._starting:
            if self._closed:
                raise Conflict("this client is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="perdure-client", daemon=True)
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
