"""A model is asked on `/v1`, for a chat or for the end of a text: whole or piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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
from perdure.wire.complete import Chunks, complete_answer, complete_text

__all__ = ["CHAT", "TEXT", "Wish", "answered"]


class Wish(NamedTuple):
    """What a model can be asked for."""

    whole: Callable[[Target, Mapping[str, Any]], Awaitable[ChatAnswer]]
    pieces: Callable[[Target, Mapping[str, Any]], AsyncIterator[dict[str, Any]]]
    complete: Callable[..., dict[str, Any]]
    """Makes what came whole."""
    text: bool


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
        return json_answer(wish.complete(error.answer, model=body.get("model") or ""))
    return Answer(499) if made is None else await _told(call, made, wish)


async def _told(call: Call, made: Made[ChatAnswer], wish: Wish) -> Answer:
    answer, target = made.answer, made.way.target
    usage = await made.end(answer.usage, answer.headroom)
    tell_answered(call, target, usage, seconds=made.seconds, stream=False)
    say_cost(call, usage)
    say_left(call, answer.headroom)
    return json_answer(wish.complete(answer.body, model=target.model))


async def _stream(call: Call, tries: Tries, body: Mapping[str, Any], wish: Wish) -> Answer | Streamed:
    options = dict(body.get("stream_options") or {})
    wants_usage = bool(options.pop("include_usage", False))  # asked of the upstream always, since it is what the call costs
    asked = {**body, "stream_options": options} if options else {name: value for name, value in body.items() if name != "stream_options"}

    async def ask(target: Target) -> Opened:
        return await opened(wish.pieces(target, asked))

    def chunks(model: str) -> Chunks:
        return Chunks(model=model, usage=wants_usage, running=bool(options.get("continuous_usage_stats")), text=wish.text)

    # The first piece decides the status: an error before it is an answer of its own, with 4xx or 5xx.
    try:
        made = await while_there(call.receive, tries.made(ask))
    except ProviderError as error:
        if error.answer is None:
            raise
        return Streamed(cut(error.answer, chunks(body.get("model") or "")))
    return Answer(499) if made is None else Pieces(call, made, chunks(made.way.target.model)).streamed()


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


CHAT = Wish(_chat, _chat_pieces, complete_answer, text=False)
TEXT = Wish(_text, _text_pieces, complete_text, text=True)
