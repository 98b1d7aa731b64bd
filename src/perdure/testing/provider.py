"""A provider that says what a test wants, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from perdure.errors.base import ProviderError, ProviderTimeout
from perdure.providers.errors import Whence
from perdure.providers.protocol import ChatAnswer, Embeddings
from perdure.providers.reading import as_answer
from perdure.providers.simple import SimpleDoor
from perdure.resources.usage import Usage
from perdure.testing.faked import faked
from perdure.testing.faults import Fault
from perdure.testing.replies import as_message, default_reply, vector_of, words
from perdure.wire.answers import chunks_of, completion

Reply: TypeAlias = "str | Mapping[str, Any] | BaseException | Fault"
Replies: TypeAlias = "Sequence[Reply] | Callable[[dict[str, Any]], Reply]"

__all__ = ["FakeProvider", "Replies", "Reply"]


class FakeProvider(SimpleDoor):
    """A `ChatProvider` and `LLMProvider` without a network.

    Args:
        name (str): As in the settings.
        replies (Replies | None): A list (the last one repeats) or a function of the request; each a text, an
            assistant message (`{"tool_calls": [{"name": …, "arguments": {…}}]}`), an exception to raise, or a `Fault`.
            None answers by the request's own shape, the same to the same.
        models (Sequence[str]): What it lists.
        delay_s (float): How long an answer takes.
        known_usage (bool): False: it counts no tokens.
        handles (bool): True: its calls have handles, and go on whoever dies (`begun`).
    """

    def __init__(
        self,
        name: str = "fake",
        replies: Replies | None = None,
        *,
        models: Sequence[str] = ("fake-1",),
        delay_s: float = 0.0,
        known_usage: bool = True,
        handles: bool = False,
    ) -> None:
        super().__init__(name, models)
        self.delay_s: float = delay_s
        self.calls: list[dict[str, Any]] = []
        self._replies, self._known_usage = replies, known_usage
        self._faults: deque[Fault] = deque()
        self._lock = threading.Lock()
        self.closed: bool = False
        self.handles: bool = handles
        self.begun: dict[str, ChatAnswer | BaseException] = {}
        """By handle: what a call that was begun will be answered with. Empty it, and the handles have expired."""
        self.resumed: list[str] = []
        """Handles that it was asked for."""

    @property
    def count(self) -> int:
        """How often it was asked, answered or not."""
        return len(self.calls)

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        """Answer as scripted.

        Args:
            body (Mapping[str, Any]): The request; kept in `calls`.
            timeout_s (float | None): Shorter than the delay, it is a time-out.

        Returns:
            ChatAnswer: The next reply.
        """
        with self.tally.call(body.get("model")) as call:
            reply, n = self._next(dict(body))
            await self._take_time(timeout_s)
            if isinstance(reply, BaseException):
                raise reply
            if isinstance(reply, Fault):
                answer = await faked(reply, self._answer(body, as_message(default_reply(body)), n).body, self.name, timeout_s)
            else:
                answer = self._answer(body, as_message(reply), n)
            call.answered(answer.usage)
            return answer

    def script(self, *faults: Fault) -> None:
        """Let the next calls fail, one fault each, before the replies go on.

        Args:
            *faults (Fault): What to do.
        """
        with self._lock:
            self._faults.extend(faults)

    def resumes(self, body: Mapping[str, Any]) -> bool:  # noqa: ARG002 - the contract's
        """Tell whether calls have handles.

        Args:
            body (Mapping[str, Any]): Any.

        Returns:
            bool: As it was made.
        """
        return self.handles

    async def begin(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> str:  # noqa: ARG002 - the contract's
        """Have a call begun.

        Args:
            body (Mapping[str, Any]): The request; kept in `calls`.
            timeout_s (float | None): Of no use here: it is taken at once.

        Returns:
            str: The handle.
        """
        reply, n = self._next(dict(body))
        self.begun[f"call_{n}"] = await self._later(reply, body, n)
        return f"call_{n}"

    async def resume(self, handle: str, *, timeout_s: float | None = None) -> ChatAnswer | ProviderError | None:
        """Answer a call that was begun.

        Args:
            handle (str): What `begin` said.
            timeout_s (float | None): Shorter than the delay, it is a time-out.

        Returns:
            ChatAnswer | ProviderError | None: What the script says; None for a handle that is not in `begun`.
        """
        with self.tally.call(None) as call:
            self.resumed.append(handle)
            await self._take_time(timeout_s)
            found = self.begun.get(handle)
            if isinstance(found, ChatAnswer):
                call.answered(found.usage)
            if isinstance(found, BaseException) and not isinstance(found, ProviderError):
                raise found
            return found

    async def stream(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """Answer as scripted, in pieces of four letters.

        Args:
            body (Mapping[str, Any]): The request; kept in `calls`.
            timeout_s (float | None): As for `chat`.

        Yields:
            dict[str, Any]: `chat.completion.chunk` objects.
        """
        answer = await self.chat(body, timeout_s=timeout_s)
        for chunk in chunks_of(answer.body, piece=4):
            yield chunk

    async def embed(
        self,
        texts: Sequence[str | Sequence[int]],
        *,
        model: str,
        dimensions: int | None = None,
        timeout_s: float | None = None,
        more: Mapping[str, Any] | None = None,  # noqa: ARG002 - the contract's
    ) -> Embeddings:
        """Turn texts into vectors that mean nothing, the same for the same text.

        Args:
            texts (Sequence[str | Sequence[int]]): Any number; a text may be given as its tokens.
            model (str): Any name.
            dimensions (int | None): How long; None for 8.
            timeout_s (float | None): Shorter than the delay, it is a time-out.
            more (Mapping[str, Any] | None): Of no use here.

        Returns:
            Embeddings: One vector for each text.
        """
        with self.tally.call(model) as call:
            await self._take_time(timeout_s)
            usage = Usage(calls=1, input_tokens=sum(words(str(text)) for text in texts) if self._known_usage else None)
            call.answered(usage)
            return Embeddings(model=model, vectors=[vector_of(str(text), dimensions) for text in texts], usage=usage)

    async def models(self) -> list[str]:
        """List what it was made with.

        Returns:
            list[str]: Model names.
        """
        return list(self.declared)

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.closed = True

    async def _later(self, reply: Reply, body: Mapping[str, Any], n: int) -> ChatAnswer | BaseException:
        if isinstance(reply, BaseException):
            return reply
        if not isinstance(reply, Fault):
            return self._answer(body, as_message(reply), n)
        try:
            return await faked(reply, self._answer(body, as_message(default_reply(body)), n).body, self.name, None)
        except ProviderError as error:
            return error

    async def _take_time(self, timeout_s: float | None) -> None:
        if timeout_s is not None and timeout_s < self.delay_s:
            await asyncio.sleep(timeout_s)
            raise ProviderTimeout(f"{self.name!r} gave no complete answer within {timeout_s} s")
        if self.delay_s:
            await asyncio.sleep(self.delay_s)

    def _next(self, body: dict[str, Any]) -> tuple[Reply, int]:
        with self._lock:
            self.calls.append(body)
            n = len(self.calls)
            if self._faults:
                return self._faults.popleft(), n
        if self._replies is None:
            return default_reply(body), n
        if callable(self._replies):
            return self._replies(body), n
        return self._replies[min(n, len(self._replies)) - 1], n

    def _answer(self, body: Mapping[str, Any], message: dict[str, Any], n: int) -> ChatAnswer:
        asked = sum(words(str(part.get("content"))) for part in body.get("messages") or [])
        said = words(str(message.get("content")))
        usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
        whole = completion(
            model=str(body.get("model")),
            message=message,
            finish_reason="tool_calls" if message.get("tool_calls") else "stop",
            usage=usage if self._known_usage else None,
            id=f"chatcmpl-{self.name}-{n}",
        )
        return as_answer(whole, Whence(provider=self.name, request_id=f"req_{n}"))
