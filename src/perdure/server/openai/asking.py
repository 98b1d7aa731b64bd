"""A model is asked on `/v1`, for a chat or for the end of a text: whole or piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from perdure.errors.base import InvalidRequest, ProviderError
from perdure.providers.protocol import ChatAnswer, TextProvider
from perdure.providers.target import Target
from perdure.server.answer import Answer, Streamed, json_answer
from perdure.server.door import Call
from perdure.server.gone import while_there
from perdure.server.openai.pieces import Opened, Pieces, cut, opened
from perdure.server.openai.telling import say_cost, say_left, tell_answered
from perdure.server.openai.tries import Made, Tries
from perdure.server.openai.voice import ChunkVoice, Voice
from perdure.wire.complete import Chunks, complete_answer, complete_text

__all__ = ["CHAT", "TEXT", "Wish", "answered"]


class Wish(NamedTuple):
    """What a model can be asked for."""

    whole: Callable[[Target, Mapping[str, Any]], Awaitable[ChatAnswer]]
    pieces: Callable[[Target, Mapping[str, Any]], AsyncIterator[dict[str, Any]]]
    complete: Callable[[Mapping[str, Any], str], Awaitable[dict[str, Any]]]
    """Makes of what came whole, and the model that was asked, what the caller is given."""
    voice: Callable[[str, Mapping[str, Any]], Voice]
    """Tells a stream of that model to the caller, with these `stream_options`."""


async def answered(call: Call, body: Mapping[str, Any], wish: Wish) -> Answer | Streamed:
    """Ask, and answer with what comes.

    Args:
        call (Call): Whose.
        body (Mapping[str, Any]): A request that was checked.
        wish (Wish): What it is for.

    Returns:
        Answer | Streamed: In OpenAI's shape.
    """
    tries = Tries(call, body, call.core.models.deployments(body.get("model")))
    return await (_stream(call, tries, body, wish) if body.get("stream") else _whole(call, tries, body, wish))


async def _whole(call: Call, tries: Tries, body: Mapping[str, Any], wish: Wish) -> Answer:
    try:
        made = await while_there(call.receive, tries.made(lambda target: wish.whole(target, body)))
    except ProviderError as error:
        if error.answer is None:
            raise
        return json_answer(await wish.complete(error.answer, body.get("model") or ""))
    return Answer(499) if made is None else await _told(call, made, wish)


async def _told(call: Call, made: Made[ChatAnswer], wish: Wish) -> Answer:
    answer, target = made.answer, made.way.target
    usage = await made.end(answer.usage, answer.headroom)
    tell_answered(call, target, usage, seconds=made.seconds, stream=False)
    say_cost(call, usage)
    say_left(call, answer.headroom)
    return json_answer(await wish.complete(answer.body, target.model))


async def _stream(call: Call, tries: Tries, body: Mapping[str, Any], wish: Wish) -> Answer | Streamed:
    options = dict(body.get("stream_options") or {})
    upstream = {name: value for name, value in options.items() if name != "include_usage"}  # asked always: it is what the call costs
    asked = {**body, "stream_options": upstream} if upstream else {name: value for name, value in body.items() if name != "stream_options"}

    async def ask(target: Target) -> Opened:
        return await opened(wish.pieces(target, asked))

    # The first piece decides the status: an error before it is an answer of its own, with 4xx or 5xx.
    try:
        made = await while_there(call.receive, tries.made(ask))
    except ProviderError as error:
        if error.answer is None:
            raise
        return Streamed(cut(error.answer, wish.voice(body.get("model") or "", options)))
    return Answer(499) if made is None else Pieces(call, made, wish.voice(made.way.target.model, options)).streamed()


async def _chat(target: Target, body: Mapping[str, Any]) -> ChatAnswer:
    return await target.provider.chat(target.request(body))


def _chat_pieces(target: Target, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    return target.provider.stream(target.request(body))


async def _text(target: Target, body: Mapping[str, Any]) -> ChatAnswer:
    return await _texts(target).complete(target.request(body))


async def _text_pieces(target: Target, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    async for piece in _texts(target).stream_text(target.request(body)):
        yield piece


def _texts(target: Target) -> TextProvider:
    if not isinstance(target.provider, TextProvider):
        raise InvalidRequest(f"{target.provider.name!r} only answers chats", hint="Ask at /v1/chat/completions.")
    return target.provider


async def _complete_chat(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    return complete_answer(body, model=model)


async def _complete_text(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    return complete_text(body, model=model)


def _voice(model: str, options: Mapping[str, Any], *, text: bool = False) -> Voice:
    usage, running = bool(options.get("include_usage")), bool(options.get("continuous_usage_stats"))
    return ChunkVoice(Chunks(model=model, usage=usage, running=running, text=text))


CHAT = Wish(_chat, _chat_pieces, _complete_chat, _voice)
TEXT = Wish(_text, _text_pieces, _complete_text, partial(_voice, text=True))
