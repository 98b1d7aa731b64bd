"""LLM calls of a framework inside an agent, which come in over HTTP: each is a step, and found again when its client comes back.

Theory of operation: a request is an *occurrence* of a call, taken the moment it has come, and carried out in a task of its
own that no client can cut off: what was paid for is recorded. An occurrence is used up when its answer was written to a
client completely. One whose client hung up before is left lying, running or finished, and the next equal request is its
client come back; while its client still reads, an equal request is another call, unless it says that it is a retry: then it was
quicker than the news that its first connection is gone.

What makes an answer whole (the reason why it ended, the count of its tokens) is passed on only once it is recorded: whoever
acts on a whole answer acts on one that will be the same after a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import Context
from typing import Any

from perdure.agents.asking import Asking, content_of, take
from perdure.agents.call import SCOPE, Call
from perdure.agents.flow import Flow
from perdure.agents.steps import Steps
from perdure.errors.base import RunEnded
from perdure.providers.protocol import ChatAnswer
from perdure.tools.plain import fingerprint
from perdure.wire.answers import chunks_of

__all__ = ["NAME", "Occurrence", "Occurrences"]

NAME = "chat.completions"
"""What such a call is called in the journal."""


class Occurrence:
    """One call, whoever reads its answer.

    Args:
        call (Call): The step.
        on_change (Callable[[Occurrence], None]): Called when it is used up, or left by its last reader.
    """

    def __init__(self, call: Call, on_change: Callable[[Occurrence], None]) -> None:
        self.call = call
        self._on_change = on_change
        self._made: asyncio.Task[ChatAnswer] | None = None
        self._pieces: list[dict[str, Any]] = []
        self._last: list[dict[str, Any]] = []
        """Held back until it is recorded."""
        self._moved = asyncio.Event()
        self.readers: int = 0
        self.used_up: bool = False

    def begin(self, asking: Asking, context: Context) -> None:
        """Have the call made.

        Args:
            asking (Asking): Makes it.
            context (Context): In which.
        """
        self._made = asyncio.get_running_loop().create_task(asking.answer(), context=context)
        self._made.add_done_callback(self._ended)

    def come(self, chunk: dict[str, Any]) -> None:
        """Take a piece of the answer.

        Args:
            chunk (dict[str, Any]): A `chat.completion.chunk`.
        """
        ends = not chunk.get("choices") or any(choice.get("finish_reason") for choice in chunk["choices"])
        (self._last if self._last or ends else self._pieces).append(chunk)
        self._moved.set()

    async def whole(self) -> dict[str, Any]:
        """Wait for the answer."""
        assert self._made is not None
        await asyncio.wait({self._made})  # not awaited itself: a client that is cut off does not cut the call off
        return self._answer().body

    async def pieces(self) -> AsyncIterator[dict[str, Any]]:
        """Read the answer as it comes."""
        assert self._made is not None
        at = 0
        while at < len(self._pieces) or not self._made.done():
            while at < len(self._pieces):
                at += 1
                yield self._pieces[at - 1]
            if not self._made.done():
                self._moved.clear()
                await self._moved.wait()
        answer = self._answer()
        for chunk in self._last if at else chunks_of(answer.body):  # came from the journal, or from who gives it only whole
            yield chunk

    def read(self) -> None:
        """Tell that it was written completely."""
        self.used_up = True

    def left(self) -> None:
        """Tell that a client reads no more."""
        self.readers -= 1
        self._on_change(self)

    def _answer(self) -> ChatAnswer:
        assert self._made is not None
        if self._made.cancelled():
            raise RunEnded("the run has ended or waits without a worker", hint="What was asked is answered when the run goes on.")
        return self._made.result()

    def _ended(self, made: asyncio.Task[ChatAnswer]) -> None:
        if not made.cancelled():
            made.exception()  # has been looked at, whether somebody reads it or not
        self._moved.set()


class Occurrences:
    """All such calls of one run.

    Args:
        steps (Steps): The run's.
        model (str | None): Who answers where a request names nobody; None is the default.
    """

    def __init__(self, steps: Steps, model: str | None) -> None:
        self._steps = steps
        self._model = model
        self._lying: list[Occurrence] = []
        self._read: list[Occurrence] = []

    def ask(self, scope: str, body: Mapping[str, Any], *, again: bool = False) -> Occurrence:
        """Find or begin the call that a request is."""
        if self._steps.open.closed:
            raise RunEnded("the run has ended or waits without a worker", hint="An address is good for one lease of one run.")
        found = self._come_back(scope, body, again=again) or self._begun(scope, body)
        if not found.readers:
            self._read.append(found)
        found.readers += 1
        return found

    def refused(self, id: str, error: BaseException) -> None:
        """Note with which error a client was answered."""
        self._steps.blame.went_out(id, error)

    def _come_back(self, scope: str, body: Mapping[str, Any], *, again: bool) -> Occurrence | None:
        left = [*self._lying, *(one for one in self._read if again and not one.used_up)]
        if not left:
            return None
        same = (scope, fingerprint(content_of(body), what="the request"))
        found = next((one for one in left if (one.call.key.scope, one.call.key.fingerprint) == same), None)
        if found in self._lying:
            self._lying.remove(found)
        return found

    def _begun(self, scope: str, body: Mapping[str, Any]) -> Occurrence:
        context = Context()  # not the client's, whose connection may have been opened by another run
        context.run(SCOPE.set, scope)
        call = context.run(take, self._steps, NAME, body)
        occurrence = Occurrence(call, self._left)
        flow = Flow(occurrence.come) if body.get("stream") else None
        model = body.get("model") or self._model
        asking = Asking(self._steps, call, body, lambda: self._steps.parts.models.deployments(model), flow=flow)
        occurrence.begin(asking, context)
        return occurrence

    def _left(self, occurrence: Occurrence) -> None:
        if occurrence.readers:
            return
        self._read.remove(occurrence)
        if not occurrence.used_up:
            self._lying.append(occurrence)
            self._lying.sort(key=lambda one: one.call.key.n)  # the first of equal ones is the first to be read again
