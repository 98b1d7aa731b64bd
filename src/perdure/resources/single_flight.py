"""Many ask for the same at once, one goes: a `SingleFlight` shares a call among all who want its answer.

Theory of operation. When a cache runs out, everybody who needs the value notices at the same moment, and
all of them ask for it. Here the first one's call is made; whoever asks for the same key while it is under way
waits for that call and gets its answer, or its error. Nothing is kept afterwards: the next one to ask makes
a call of its own. So an answer is never older than the question.

The call belongs to nobody: a caller that is cancelled leaves the others waiting undisturbed. Only when the last
one has gone is the call itself cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

__all__ = ["SingleFlight"]

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class SingleFlight(Generic[Key, Answer]):
    """Makes one call for all who ask for the same at the same time. For one event loop.

    Example:
        ```python
        flights: SingleFlight[str, Card] = SingleFlight()
        card = await flights.fly(name, lambda: registry.read(name))  # in any number of tasks: one read
        ```
    """

    def __init__(self) -> None:
        self._flights: dict[Key, tuple[asyncio.Task[Answer], list[object]]] = {}

    @property
    def flying(self) -> int:
        """How many calls are under way."""
        return len(self._flights)

    async def fly(self, key: Key, call: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Get the answer to a call, making it unless it is under way.

        Args:
            key (Key): Calls with equal keys are the same.
            call (Callable[[], Coroutine[Any, Any, Answer]]): Makes the call.

        Returns:
            Answer: The same object for all who shared the call.

        Raises:
            Exception: What the call raised, to each of them.
        """
        task, passengers = self._flights.get(key) or self._start(key, call)
        seat = object()
        passengers.append(seat)
        try:
            return await asyncio.shield(task)
        finally:
            passengers.remove(seat)
            if not passengers and not task.done():
                self._land(key, task)
                task.cancel()

    def _start(self, key: Key, call: Callable[[], Coroutine[Any, Any, Answer]]) -> tuple[asyncio.Task[Answer], list[object]]:
        task = asyncio.create_task(call())
        task.add_done_callback(lambda task: self._land(key, task))
        flight: tuple[asyncio.Task[Answer], list[object]] = (task, [])
        self._flights[key] = flight
        return flight

    def _land(self, key: Key, task: asyncio.Task[Answer]) -> None:
        if key in self._flights and self._flights[key][0] is task:
            del self._flights[key]
        if task.done() and not task.cancelled():
            task.exception()  # heard by whoever waits; if nobody does any more, by nobody
