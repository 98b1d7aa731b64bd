"""Many callers, one flush: a `Batcher` gathers what callers want done and has it done together.

Theory of operation. Some work costs nearly the same for one item as for five hundred: a commit, a request
to a server. Whoever comes while such work is under way has to wait anyway, so all who came meanwhile make
the next batch. A lone caller never waits for company, a crowd is served in few batches, and there is nothing
to tune: the size of a batch follows from how many come and how long a flush takes. A batch is begun when
the event loop comes round next, so that callers of the same moment are together from the first.

Each caller gets the answer to its own item. A caller that is cancelled before its batch has begun takes its
item with it; later, the work is done all the same and the answer is dropped. Nobody else notices.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

__all__ = ["Batcher"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Gathers the items of many callers, and answers each of them.

    Example:
        ```python
        async def save(rows: Sequence[Row]) -> list[int | BaseException]:
            return await database.insert_all(rows)

        async with Batcher(save, most_items=500) as batcher:
            number = await batcher.add(row)  # in any number of tasks
        ```

    Args:
        flush (Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]]): Does the work for some
            items and returns one result for each, in their order. An exception in the place of a result is
            raised to that item's caller alone; one that is raised, to all callers of the batch.
        most_items (int): No batch is larger.
        most_bytes (int): No batch is larger, by what the callers say, unless a single item is.
        flushes (int): So many may be under way at once.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        most_items: int = 512,
        most_bytes: int = 4 * 1024 * 1024,
        flushes: int = 1,
    ) -> None:
        self._flush = flush
        self._most_items, self._most_bytes, self._flushes = most_items, most_bytes, flushes
        self._queue: deque[tuple[Item, int, asyncio.Future[Result]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._working = 0
        self._starting = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many items wait for their batch."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether anything is under way or waits."""
        return bool(self._working)

    def add(self, item: Item, *, size_bytes: int = 0) -> asyncio.Future[Result]:
        """Hand in an item.

        Args:
            item (Item): What is to be done.
            size_bytes (int): How much of `most_bytes` it takes.

        Returns:
            asyncio.Future[Result]: The answer to this item; to be awaited.

        Raises:
            RuntimeError: The batcher is closed.
        """
        if self._closed:
            raise RuntimeError("the batcher is closed and takes no more items")
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, size_bytes, answer))
        if not self._starting and self._working < self._flushes:
            self._working += 1
            self._starting = True
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return answer

    async def close(self) -> None:
        """Take no more items, and wait until all that were taken are answered. Twice is harmless."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _work(self) -> None:
        self._starting = False
        try:
            while self._queue:
                items, answers = self._take()
                if items:
                    await self._serve(items, answers)
        except BaseException:  # the loop is ending: nobody may be left to wait for ever
            for _, _, answer in self._queue:
                answer.cancel()
            self._queue.clear()
            raise
        finally:
            self._working -= 1  # here and not when the task is forgotten: whoever was just answered may come again before

    def _take(self) -> tuple[list[Item], list[asyncio.Future[Result]]]:
        items: list[Item] = []
        answers: list[asyncio.Future[Result]] = []
        room = self._most_bytes
        while self._queue and len(items) < self._most_items:
            item, size_bytes, answer = self._queue[0]
            if items and size_bytes > room:
                break
            self._queue.popleft()
            if not answer.done():  # else its caller has gone meanwhile
                room -= size_bytes
                items.append(item)
                answers.append(answer)
        return items, answers

    async def _serve(self, items: list[Item], answers: list[asyncio.Future[Result]]) -> None:
        try:
            results = await self._flush(items)
            if len(results) != len(items):
                raise ValueError(f"a flush of {len(items)} items returned {len(results)} results")
        except Exception as error:  # the callers' to handle, whatever it is
            results = [error] * len(items)
        except BaseException:
            for answer in answers:
                answer.cancel()
            raise
        for answer, result in zip(answers, results, strict=True):
            if answer.done():
                continue
            if isinstance(result, BaseException):
                answer.set_exception(result)
            else:
                answer.set_result(result)
