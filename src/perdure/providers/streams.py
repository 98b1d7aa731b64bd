"""Reads a streamed answer, and knows whether it is complete.

A stream that answers 200 may hold an error instead of an answer, nothing at all, or stop in the middle.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import msgspec

from perdure.clock import now
from perdure.errors.base import Billed, EmptyAnswer, ProviderError, ServerFailed, StreamCut
from perdure.providers.errors import Whence, judge
from perdure.providers.frames import said_in_event
from perdure.providers.progress import Progress
from perdure.providers.reading import evidence
from perdure.wire.assemble import Assembler
from perdure.wire.errors import error_in
from perdure.wire.reasoning import ReasoningStream
from perdure.wire.sse import EventTooLarge, SseDecoder, SseEvent

__all__ = ["StreamReader", "TextReader"]

_LINGER_S = 0.1  # for the end of the body after `[DONE]`, so that the connection can be used again


class StreamReader:
    """Reads one stream of chunks and knows whether it is complete.

    Args:
        response (aiohttp.ClientResponse): A 200.
        progress (Progress): Told when the first piece has come.
        whence (Whence): Who answers.
        inside (bool): Its content begins with reasoning, without a tag.
    """

    def __init__(self, response: aiohttp.ClientResponse, progress: Progress, whence: Whence, *, inside: bool = False) -> None:
        self._response, self._progress, self._whence = response, progress, whence
        self._decoder, self._reasoning = SseDecoder(), ReasoningStream(inside=inside)
        self.assembler: Assembler = Assembler()
        self._done = False

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """Give the chunks as they come.

        Yields:
            dict[str, Any]: A `chat.completion.chunk`, reasoning apart.

        Raises:
            ProviderError: An error came inside the stream, or the stream is not complete.
        """
        async for event in self._events():
            if event.data.strip() == "[DONE]":
                self._done = True
                break
            chunk = self._read(event)
            if chunk is not None:
                yield self._taken(chunk)
        if late := self._reasoning.rest():
            yield self._noted({"object": "chat.completion.chunk", "choices": late})
        self._check_end()
        await self._linger()

    async def whole(self) -> dict[str, Any]:
        """Read it to its end.

        Returns:
            dict[str, Any]: The completion it makes.

        Raises:
            ProviderError: As for `chunks`.
        """
        async for _ in self.chunks():
            pass
        return self.assembler.finish()

    async def _events(self) -> AsyncIterator[SseEvent]:
        try:
            async for data in self._response.content.iter_any():
                for event in self._decoder.feed(data):
                    yield event
            for event in self._decoder.end():
                yield event
        except EventTooLarge as error:
            raise ServerFailed(
                f"{self._whence.provider!r}: {error}", billed=Billed.PARTIAL, evidence=evidence(self._whence, "event-size")
            ) from error

    def _read(self, event: SseEvent) -> dict[str, Any] | None:
        try:
            body = msgspec.json.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if event.event == "error":
                raise self._error_of({"error": event.data}, event) from error
            raise self._broken("sent a piece that is no JSON") from error
        if event.event == "error" or error_in(body) is not None:
            raise self._error_of(body, event)
        if not isinstance(body, dict):
            raise self._broken("sent a piece that is no object")
        return body if body.get("choices") or body.get("usage") else None

    def _taken(self, chunk: dict[str, Any]) -> dict[str, Any]:
        return self._noted(self._reasoning.apply(chunk))

    def _noted(self, chunk: dict[str, Any]) -> dict[str, Any]:
        self.assembler.add(chunk)
        self._progress.began = self._progress.began or self.assembler.began
        return chunk

    def _error_of(self, body: Any, event: SseEvent) -> ProviderError:
        said = said_in_event(body, event)
        assert said is not None
        return judge(said, msgspec.structs.replace(self._whence, partly=self._progress.began), now())

    def _broken(self, what: str) -> ProviderError:
        began, facts = self._progress.began, evidence(self._whence, "broken-piece")
        message = f"{self._whence.provider!r} {what}"
        return StreamCut(message, evidence=facts) if began else ServerFailed(message, billed=Billed.MAYBE, evidence=facts)

    def _check_end(self) -> None:
        name = self._whence.provider
        if self._done or self.assembler.finished:
            return
        if not self._progress.began:
            raise EmptyAnswer(
                f"{name!r} sent a stream with nothing in it", billed=Billed.MAYBE, evidence=evidence(self._whence, "empty-stream")
            )
        raise StreamCut(f"{name!r} ended the stream before its end", evidence=evidence(self._whence, "no-end"))

    async def _linger(self) -> None:
        with suppress(asyncio.TimeoutError, aiohttp.ClientError):
            await asyncio.wait_for(self._response.content.readany(), _LINGER_S)


class TextReader(StreamReader):
    """Reads a stream of text completions: as of chats, but what is said lies in `text`, and nobody thinks."""

    def _taken(self, chunk: dict[str, Any]) -> dict[str, Any]:
        self.assembler.add(chunk)  # for the reasons to have ended
        said = any(choice.get("text") for choice in chunk.get("choices") or [])
        self._progress.began = self._progress.began or said
        return chunk
