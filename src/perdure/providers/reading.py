"""Reads an answer, whole or streamed, and refuses what is none.

HTTP 200 proves little: proxies answer it with pages, servers with an error inside, with an empty stream,
or with one that stops in the middle. Each is told apart here, because each has been paid for differently.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import msgspec

from perdure.clock import now
from perdure.errors.base import Billed, ContentFiltered, EmptyAnswer, Evidence, ProviderError, Refused, ServerFailed, StreamCut
from perdure.providers.errors import Whence, judge
from perdure.providers.http import Progress
from perdure.providers.protocol import ChatAnswer
from perdure.wire.assemble import Assembler
from perdure.wire.errors import error_in
from perdure.wire.reasoning import ReasoningStream, with_reasoning_apart
from perdure.wire.sse import EventTooLarge, SseDecoder, SseEvent
from perdure.wire.usage import usage_of

__all__ = ["StreamReader", "as_answer", "is_stream", "read_models", "read_whole"]

_LINGER_S = 0.1  # for the end of the body after `[DONE]`, so that the connection can be used again


def read_whole(raw: bytes, whence: Whence) -> dict[str, Any]:
    """Read the body of a 200.

    Args:
        raw (bytes): As it came.
        whence (Whence): Who answered.

    Returns:
        dict[str, Any]: A completion with at least one choice.

    Raises:
        ProviderError: It is a page, garbage, empty, or an error.
    """
    if not raw.strip():
        raise EmptyAnswer(f"{whence.provider!r} answered with nothing", billed=Billed.MAYBE, evidence=_evidence(whence, "empty-body"))
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = " ".join(raw[:200].decode("utf-8", "replace").split())
        raise ServerFailed(
            f"{whence.provider!r} answered 200 without JSON: {text!r}",
            hint="Is there a proxy between? Is `base_url` right?",
            billed=Billed.MAYBE,
            evidence=_evidence(whence, "not-json"),
        ) from error
    return _checked(body, whence)


def as_answer(body: dict[str, Any], whence: Whence) -> ChatAnswer:
    """Make an answer of a whole completion.

    Args:
        body (dict[str, Any]): With at least one choice.
        whence (Whence): Who answered.

    Returns:
        ChatAnswer: With reasoning apart from content.

    Raises:
        EmptyAnswer: No content, tool call or reasoning, and not for want of room.
        ContentFiltered: The filter left nothing.
        Refused: The model declined.
    """
    choices = [{**choice, "message": with_reasoning_apart(choice.get("message") or {})} for choice in body["choices"]]
    answer = ChatAnswer(body={**body, "choices": choices}, usage=usage_of(body.get("usage")), request_id=whence.request_id)
    message, reason = answer.message, answer.finish_reason
    if _says(message) or reason == "length":
        return answer
    if reason == "content_filter":
        raise ContentFiltered(
            f"the content filter of {whence.provider!r} left no answer", billed=Billed.YES, evidence=_evidence(whence, reason)
        )
    if message.get("refusal"):
        raise Refused(f"the model declined: {str(message['refusal'])[:500]}", evidence=_evidence(whence, "refusal"))
    raise EmptyAnswer(
        f"{whence.provider!r} answered without content, tool call or reasoning",
        hint="A prompt larger than the server's context can be the cause.",
        evidence=_evidence(whence, "empty-answer"),
    )


def is_stream(response: aiohttp.ClientResponse) -> bool:
    """Say whether a response is a stream of events, whatever was asked for.

    Args:
        response (aiohttp.ClientResponse): A 200.

    Returns:
        bool: By its content type.
    """
    return response.content_type == "text/event-stream"


class StreamReader:
    """Reads one stream of chunks and knows whether it is complete.

    Args:
        response (aiohttp.ClientResponse): A 200.
        progress (Progress): Told when the first piece has come.
        whence (Whence): Who answers.
    """

    def __init__(self, response: aiohttp.ClientResponse, progress: Progress, whence: Whence) -> None:
        self._response, self._progress, self._whence = response, progress, whence
        self._decoder, self._reasoning = SseDecoder(), ReasoningStream()
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
                yield self._noted(self._reasoning.apply(chunk))
        if late := self._reasoning.rest():
            yield self._noted({"object": "chat.completion.chunk", "choices": late})
        self._check_end()
        await self._linger()

    async def _events(self) -> AsyncIterator[SseEvent]:
        try:
            async for data in self._response.content.iter_any():
                for event in self._decoder.feed(data):
                    yield event
            for event in self._decoder.end():
                yield event
        except EventTooLarge as error:
            raise ServerFailed(
                f"{self._whence.provider!r}: {error}", billed=Billed.PARTIAL, evidence=_evidence(self._whence, "event-size")
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

    def _noted(self, chunk: dict[str, Any]) -> dict[str, Any]:
        self.assembler.add(chunk)
        self._progress.began = self._progress.began or self.assembler.began
        return chunk

    def _error_of(self, body: Any, event: SseEvent) -> ProviderError:
        said = error_in(body) or error_in({"error": str(body)})
        assert said is not None
        marks = " ".join(event.comments)
        said = msgspec.structs.replace(said, message=f"{said.message} {marks}".strip())
        return judge(said, msgspec.structs.replace(self._whence, partly=self._progress.began), now())

    def _broken(self, what: str) -> ProviderError:
        began, facts = self._progress.began, _evidence(self._whence, "broken-piece")
        message = f"{self._whence.provider!r} {what}"
        return StreamCut(message, evidence=facts) if began else ServerFailed(message, billed=Billed.MAYBE, evidence=facts)

    def _check_end(self) -> None:
        name = self._whence.provider
        if self._done or self.assembler.finished:
            return
        if not self.assembler.began:
            raise EmptyAnswer(
                f"{name!r} sent a stream with nothing in it", billed=Billed.MAYBE, evidence=_evidence(self._whence, "empty-stream")
            )
        raise StreamCut(f"{name!r} ended the stream before its end", evidence=_evidence(self._whence, "no-end"))

    async def _linger(self) -> None:
        with suppress(asyncio.TimeoutError, aiohttp.ClientError):
            await asyncio.wait_for(self._response.content.readany(), _LINGER_S)


def read_models(raw: bytes, whence: Whence) -> list[str]:
    """Read a list of models.

    Args:
        raw (bytes): The body of a 200.
        whence (Whence): Who answered.

    Returns:
        list[str]: Their names.

    Raises:
        ServerFailed: It is no such list.
    """
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise ServerFailed(
            f"{whence.provider!r} answered 200 without a list of models",
            hint="Is `base_url` right? It usually ends in `/v1`.",
            evidence=_evidence(whence, "no-models"),
        )
    return [str(row["id"]) for row in rows if isinstance(row, dict) and row.get("id")]


def _checked(body: Any, whence: Whence) -> dict[str, Any]:
    said = error_in(body)
    if said is not None:
        raise judge(said, whence, now())
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, Mapping) for choice in choices):
        raise ServerFailed(
            f"{whence.provider!r} answered 200 with JSON that is no chat completion",
            hint="Is `base_url` right? It usually ends in `/v1`.",
            billed=Billed.MAYBE,
            evidence=_evidence(whence, "no-choices"),
        )
    found: dict[str, Any] = body
    return found


def _says(message: Mapping[str, Any]) -> bool:
    return any(message.get(field) for field in ("content", "tool_calls", "reasoning_content", "function_call", "audio"))


def _evidence(whence: Whence, rule: str) -> Evidence:
    return Evidence(status=whence.status, provider=whence.provider, request_id=whence.request_id, rule=rule)
