"""What a model can be asked for in a run: a chat, the end of a text, vectors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from perdure.errors.base import InvalidRequest
from perdure.providers.protocol import ChatAnswer, ChatProvider, EmbeddingProvider, TextProvider
from perdure.wire.vectors import embedding_list, read_embedding_request, texts_of

__all__ = ["CHAT", "TEXT", "VECTORS", "Kind"]

_READ = frozenset({"input", "model", "dimensions", "encoding_format"})


class Kind(NamedTuple):
    """How a provider is asked, one try."""

    ask: Callable[[ChatProvider, Mapping[str, Any], float | None], Awaitable[ChatAnswer]]
    falls_back: bool = True
    """Whether another model may take the place of one that declines, or has too little room."""


async def _chat(provider: ChatProvider, body: Mapping[str, Any], timeout_s: float | None) -> ChatAnswer:
    return await provider.chat(body, timeout_s=timeout_s)


async def _text(provider: ChatProvider, body: Mapping[str, Any], timeout_s: float | None) -> ChatAnswer:
    if not isinstance(provider, TextProvider):
        raise InvalidRequest(f"{provider.name!r} only answers chats", hint="Ask for a chat.")
    return await provider.complete(body, timeout_s=timeout_s)


async def _vectors(provider: ChatProvider, body: Mapping[str, Any], timeout_s: float | None) -> ChatAnswer:
    if not isinstance(provider, EmbeddingProvider):
        raise InvalidRequest(f"{provider.name!r} turns no texts into vectors", hint="Ask a model that does.")
    request = read_embedding_request(body)
    more = {name: value for name, value in body.items() if name not in _READ}
    beside: dict[str, Any] = {"more": more} if more else {}
    found = await provider.embed(texts_of(request), model=body["model"], dimensions=request.dimensions, timeout_s=timeout_s, **beside)
    usage = msgspec.structs.replace(found.usage, output_tokens=0)
    packed = request.encoding_format == "base64"
    answer = embedding_list(found.vectors, model=found.model, tokens=found.usage.input_tokens, packed=packed)
    return ChatAnswer(body=dict(answer), usage=usage)


CHAT = Kind(_chat)
TEXT = Kind(_text)
VECTORS = Kind(_vectors, falls_back=False)
