"""`/v1/chat/completions`: a chat straight to its provider, whole or piece by piece.

Nothing is kept here and nothing is tried again: exactly one try, whose error the caller gets. When the
caller hangs up, the call to the provider is cancelled. A stream that breaks ends with an `error` event,
never silently: a client that knows OpenAI's wire raises on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import msgspec

from perdure.clock import awake
from perdure.errors.base import EmptyAnswer, NotYetBuilt, PerdureError
from perdure.errors.handler import handle
from perdure.events import tell
from perdure.providers.target import Target
from perdure.resources.usage import Usage
from perdure.server.answer import Answer, Streamed, json_answer
from perdure.server.door import Call, Door
from perdure.server.gone import while_there
from perdure.server.openai.booking import Booking
from perdure.server.openai.refusals import said
from perdure.wire.answers import ChatCompletion
from perdure.wire.requests import ChatRequest, read_chat_request
from perdure.wire.sse import DONE, encode_comment, encode_event
from perdure.wire.usage import usage_of

Chunk: TypeAlias = dict[str, Any]
_PING_S = 15.0

__all__ = ["DOORS"]


async def complete(call: Call) -> Answer | Streamed:
    """Answer a chat.

    Args:
        call (Call): With a chat request.

    Returns:
        Answer | Streamed: A `chat.completion`, or its chunks.
    """
    if "idempotency-key" in call.headers:
        raise NotYetBuilt("Idempotency-Key on /v1/chat/completions is not built yet", hint="Put a message for the agent 'chat' instead.")
    body = read_chat_request(call.body)
    target = call.core.models.resolve(body.get("model"))
    if body.get("stream"):
        return await _stream(call, target, body)
    booking = await Booking.begin(call, target, body)
    began = awake()
    try:
        answer = await while_there(call.receive, target.provider.chat(target.request(body)))
    except BaseException as error:
        await booking.failed(error)
        raise
    if answer is None:
        await booking.end(Usage(calls=1))  # nobody waits for it any more, and nobody knows what it cost
        return Answer(499)
    _tell(call, target, await booking.end(answer.usage), seconds=awake() - began, stream=False)
    return json_answer(answer.body)


async def _stream(call: Call, target: Target, body: dict[str, Any]) -> Answer | Streamed:
    booking = await Booking.begin(call, target, body)
    chunks = target.provider.stream(target.request(body))
    began = awake()
    try:
        # The first piece decides the status: an error before it is an answer of its own, with 4xx or 5xx.
        first = await while_there(call.receive, _first(chunks))
    except BaseException as error:
        await _close(chunks)
        await booking.failed(error)
        raise
    if first is None:
        await _close(chunks)
        await booking.end(Usage(calls=1))
        return Answer(499)
    wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    return Streamed(_events(call, booking, target, chunks, first, wants_usage=wants_usage, began=began))


async def _events(
    call: Call, booking: Booking, target: Target, chunks: AsyncIterator[Chunk], first: Chunk, *, wants_usage: bool, began: float
) -> AsyncGenerator[bytes, None]:
    usage = Usage(calls=1)
    try:
        async with aclosing(_with_pings(chunks, first)) as pieces:
            async for chunk in pieces:
                if chunk is None:
                    yield encode_comment("ping")
                    continue
                usage = usage_of(chunk["usage"]) if chunk.get("usage") else usage
                if chunk.get("choices") or wants_usage:
                    yield encode_event(chunk)
        yield DONE
    except PerdureError as error:
        handle(error, where="server", request_id=call.request_id)
        yield encode_event(said(error))
    except Exception as error:
        handle(error, where="server", what=f"stream of request {call.request_id} broke", broke=True, request_id=call.request_id)
        yield encode_event(said(PerdureError("something went wrong inside", hint="The log has it under this request's id.")))
    finally:
        await _close(chunks)
        _tell(call, target, await booking.end(usage), seconds=awake() - began, stream=True)


async def _with_pings(chunks: AsyncIterator[Chunk], first: Chunk) -> AsyncGenerator[Chunk | None, None]:
    """Give every chunk, and None whenever none came for a while, so that no proxy thinks the line dead."""
    yield first
    while True:
        coming = asyncio.ensure_future(_next(chunks))
        try:
            while not (await asyncio.wait((coming,), timeout=_PING_S))[0]:
                yield None
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.wait((coming,))
        if (chunk := coming.result()) is None:
            return
        yield chunk


async def _first(chunks: AsyncIterator[Chunk]) -> Chunk:
    first = await _next(chunks)
    if first is None:
        raise EmptyAnswer("the provider ended the stream before its first piece")
    return first


async def _next(chunks: AsyncIterator[Chunk]) -> Chunk | None:
    async for chunk in chunks:
        return chunk
    return None


async def _close(chunks: AsyncIterator[Chunk]) -> None:
    # A provider may give any iterator; generators, which ours are, let go of their connection when closed.
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


def _tell(call: Call, target: Target, usage: Usage, *, seconds: float, stream: bool) -> None:
    tell(
        "chat.answered",
        tenant=call.key.tenant,
        key=call.key.id,
        lane=target.lane,
        **msgspec.structs.asdict(usage),
        seconds=seconds,
        stream=stream,
        request_id=call.request_id,
    )


DOORS = (
    Door(
        "POST", "/v1/chat/completions", complete, "create_chat_completion", "Answer a chat, whole or as a stream.", "OpenAI",
        "chat:write", bodies=(ChatRequest,), raw=True, answers={200: ChatCompletion}, streams=True,
        refusals=(404, 429, 402, 502, 504),
    ),
)  # fmt: skip
