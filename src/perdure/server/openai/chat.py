"""`/v1/chat/completions`: a chat straight to its provider, whole or piece by piece.

Each deployment of the model is tried once, as for runs (`tries.py`). When the caller hangs up, the call to the provider is
cancelled. A stream that breaks ends with an error, never silently and never with another answer sewn on: a client that
knows OpenAI's wire raises on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from perdure.errors.base import NotYetBuilt, ProviderError
from perdure.providers.protocol import ChatAnswer
from perdure.providers.target import Target
from perdure.server.answer import Answer, Streamed, json_answer
from perdure.server.door import Call, Door
from perdure.server.gone import while_there
from perdure.server.openai.pieces import Opened, Pieces, opened
from perdure.server.openai.telling import say_cost, say_left, tell_answered
from perdure.server.openai.tries import Made, Tries
from perdure.wire.answers import ChatCompletion
from perdure.wire.complete import Chunks, complete_answer
from perdure.wire.requests import ChatRequest, read_chat_request

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
    tries = Tries(call, body, call.core.models.deployments(body.get("model")))
    return await (_stream(call, tries, body) if body.get("stream") else _whole(call, tries, body))


async def _whole(call: Call, tries: Tries, body: Mapping[str, Any]) -> Answer:
    async def ask(target: Target) -> ChatAnswer:
        return await target.provider.chat(target.request(body))

    try:
        made = await while_there(call.receive, tries.made(ask))
    except ProviderError as error:
        if error.answer is None:
            raise
        return json_answer(complete_answer(error.answer, model=body.get("model") or ""))
    if made is None:
        return Answer(499)
    return await _answered(call, made)


async def _answered(call: Call, made: Made[ChatAnswer]) -> Answer:
    answer, target = made.answer, made.way.target
    usage = await made.end(answer.usage, answer.headroom)
    tell_answered(call, target, usage, seconds=made.seconds, stream=False)
    say_cost(call, usage)
    say_left(call, answer.headroom)
    return json_answer(complete_answer(answer.body, model=target.model))


async def _stream(call: Call, tries: Tries, body: Mapping[str, Any]) -> Answer | Streamed:
    options = dict(body.get("stream_options") or {})
    wants_usage = bool(options.pop("include_usage", False))  # asked of the upstream always, since it is what the call costs
    asked = {**body, "stream_options": options} if options else {name: value for name, value in body.items() if name != "stream_options"}

    async def ask(target: Target) -> Opened:
        return await opened(_chunks(target, asked))

    # The first piece decides the status: an error before it is an answer of its own, with 4xx or 5xx.
    made = await while_there(call.receive, tries.made(ask))
    if made is None:
        return Answer(499)
    running = bool(options.get("continuous_usage_stats"))
    chunks = Chunks(model=made.way.target.model, usage=wants_usage, running=running)
    return Pieces(call, made, chunks).streamed()


def _chunks(target: Target, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    return target.provider.stream(target.request(body))


DOORS = (
    Door(
        "POST", "/v1/chat/completions", complete, "create_chat_completion", "Answer a chat, whole or as a stream.", "OpenAI",
        "chat:write", bodies=(ChatRequest,), raw=True, answers={200: ChatCompletion}, streams=True,
        refusals=(404, 429, 402, 502, 504),
    ),
)  # fmt: skip
