"""Looks whether a conversation fits, for servers that would cut it without a word.

Ollama drops the oldest messages and LM Studio answers with nothing; both say how much fits into a loaded
model where one asks them in their own way. Tokens are estimated here, low rather than high: what is refused
is surely too long, and what is nearly too long is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.errors.base import ContextTooLong, Evidence, ProviderError
from perdure.providers.row import ContextSource

if TYPE_CHECKING:
    from perdure.providers.http import Door

__all__ = ["ContextRoom", "estimated_tokens"]

_ASK_S = 5.0
_SURELY_FITS = 1000
"""No server's context is smaller, so it is not asked about less."""
_LETTERS_A_TOKEN = 5.0
"""Of plain English; code and other languages have fewer, so the estimate is low for them."""
_OTHERS_A_TOKEN = 2.0
"""Of letters outside ASCII: Chinese has one to two, Cyrillic two to three."""


class ContextRoom:
    """Knows how much fits into the models of one server.

    Args:
        provider (str): For messages.
        source (ContextSource | None): Where the server says so; None: nowhere.
        tokens (int | None): As the settings say; goes before what the server says.
    """

    def __init__(self, provider: str, source: ContextSource | None, tokens: int | None) -> None:
        self._provider, self._source, self._tokens = provider, source, tokens

    async def check(self, body: Mapping[str, Any], door: Door) -> None:
        """Refuse a conversation that does not fit.

        Args:
            body (Mapping[str, Any]): A chat request.
            door (Door): Where the server answers.

        Raises:
            ContextTooLong: It does not fit; nothing was sent.
        """
        wanted = estimated_tokens(body)
        if self._tokens is None and wanted < _SURELY_FITS:
            return
        room = self._tokens if self._tokens is not None else await self._said(str(body.get("model")), door)
        if room is not None and wanted > room:
            raise ContextTooLong(
                f"a conversation of at least {wanted} tokens does not fit into the {room} of {body.get('model')!r} at {self._provider!r}",
                hint="Shorten it, or load the model with a larger context; this server would cut it without a word.",
                evidence=Evidence(provider=self._provider, rule="not-sent"),
            )

    async def _said(self, model: str, door: Door) -> int | None:
        """Asked each time: a model may be loaded anew with another size, and the server is near."""
        if self._source is None:
            return None
        try:
            async with door.get(self._source.path, timeout_s=_ASK_S, of_root=True) as response:
                found = msgspec.json.decode(await door.read(response)) if response.status == 200 else None
        except (ProviderError, msgspec.DecodeError, UnicodeDecodeError):
            return None  # it says nothing: the call itself will find out why
        return next(_sizes(found, self._source, model), None)


def estimated_tokens(body: Mapping[str, Any]) -> int:
    """Estimate, low, how many tokens a request has.

    Args:
        body (Mapping[str, Any]): A chat request.

    Returns:
        int: Of its texts and tools; images are not counted.
    """
    ascii_letters = others = 0
    for text in _texts(body):
        size = len(text)
        plain = size if text.isascii() else sum(letter < "\x80" for letter in text)
        ascii_letters, others = ascii_letters + plain, others + size - plain
    return int(ascii_letters / _LETTERS_A_TOKEN + others / _OTHERS_A_TOKEN)


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    for message in body.get("messages") or []:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        for part in content if isinstance(content, list) else []:
            yield str(part.get("text") or "")
        for call in message.get("tool_calls") or []:
            yield str(call.get("function", {}).get("arguments") or "")
    for tool in body.get("tools") or []:
        yield msgspec.json.encode(tool).decode()


def _sizes(found: Any, source: ContextSource, model: str) -> Iterator[int]:
    rows = found.get(source.rows) if isinstance(found, Mapping) else None
    for row in rows if isinstance(rows, list) else []:
        named = row.get(source.name) if isinstance(row, Mapping) else None
        if named in {model, f"{model}:latest"} and isinstance(row.get(source.size), int):
            yield row[source.size]
