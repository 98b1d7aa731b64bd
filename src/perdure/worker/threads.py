"""Threads for sync code, one of which may hang without taking the others along.

`concurrent.futures.ThreadPoolExecutor` joins its threads when the interpreter ends, so one hung call
would keep a process alive for ever; and it counts a hung thread as one of its own. Here every thread is
a daemon, and cancelling a call that already runs marks it as *given up*: if it is still running a while
later it is *hung*, its place is given to another thread, and the worker recycles itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from perdure.clock import awake

P = ParamSpec("P")
T = TypeVar("T")

HUNG_AFTER_S = 5.0
_IDLE_S = 30.0  # a thread without work ends after this

__all__ = ["HUNG_AFTER_S", "Threads"]


class Threads(Executor):
    """Runs sync calls in at most `limit` threads, hung ones not counted.

    Args:
        limit (int): Threads at once.
        now (Callable[[], float]): A clock that only goes forward.
    """

    def __init__(self, limit: int, *, now: Callable[[], float] = awake) -> None:
        self._limit = limit
        self._now = now
        self._lock = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._running: set[_Call] = set()
        self._idle = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call in a thread.

        Args:
            fn (Callable[P, T]): What to call.
            *args (P.args): With what.
            **kwargs (P.kwargs): With what.

        Returns:
            Future[T]: Cancelling it while it runs gives it up.

        Raises:
            RuntimeError: The threads were shut down.
        """
        call = _Call(fn, args, kwargs, future=_Abandonable(self._give_up))
        with self._lock:
            if self._closed:
                raise RuntimeError("these threads were shut down")
            self._waiting.append(call)
            self._serve()
        return call.future

    def hung(self, *, after_s: float = HUNG_AFTER_S) -> int:
        """Count the calls that were given up and run on all the same.

        Args:
            after_s (float): How long ago they were given up, at least.

        Returns:
            int: 0 in a healthy worker.
        """
        with self._lock:
            return sum(call.given_up_for(self._now()) >= after_s for call in self._running)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait (bool): Ignored: a call that hangs must not keep the worker; threads are daemons.
            cancel_futures (bool): Cancel the calls that have not begun.
        """
        del wait
        with self._lock:
            self._closed = True
            waiting = [self._waiting.popleft() for _ in range(len(self._waiting))] if cancel_futures else []
            self._lock.notify_all()
        for call in waiting:
            call.future.cancel()

    def _serve(self) -> None:
        if self._idle:
            self._lock.notify()
        if self._idle < len(self._waiting) and self._room():
            self._idle += 1  # it is, until it takes its first call
            threading.Thread(target=self._work, name="perdure-sync", daemon=True).start()

    def _give_up(self, future: _Abandonable) -> None:
        with self._lock:
            future.given_up_at = self._now()
            self._serve()  # its place is free for another

    def _room(self) -> bool:
        busy = sum(not call.given_up for call in self._running)
        return busy + self._idle < self._limit

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call.run()
            with self._lock:
                self._running.discard(call)
                if not self._room():  # this one had been given up, and another took its place
                    return
                self._idle += 1

    def _next(self) -> _Call | None:
        with self._lock:
            while not self._waiting:
                if self._closed or not (self._lock.wait(_IDLE_S) or self._waiting):
                    self._idle -= 1
                    return None
            self._idle -= 1
            call = self._waiting.popleft()
            self._running.add(call)
            return call


class _Call:
    """One call, its future, and when it was given up."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, future: _Abandonable) -> None:
        self._fn, self._args, self._kwargs = fn, args, kwargs
        self.future = future

    @property
    def given_up(self) -> bool:
        return self.future.given_up_at is not None

    def given_up_for(self, now: float) -> float:
        return -1.0 if self.future.given_up_at is None else now - self.future.given_up_at

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._fn(*self._args, **self._kwargs)
        except BaseException as error:  # handed on as it is, as every executor does
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class _Abandonable(Future[Any]):
    """A future that remembers when somebody cancelled it although its call was running."""

    def __init__(self, on_given_up: Callable[[_Abandonable], None]) -> None:
        super().__init__()
        self._on_given_up = on_given_up
        self.given_up_at: float | None = None

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if not cancelled and self.running() and self.given_up_at is None:
            self._on_given_up(self)
        return cancelled
