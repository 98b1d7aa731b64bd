"""Requests and answers from before there were chats: a text, and how it goes on."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from perdure.errors.base import InvalidInput
from perdure.wire.requests import read_request

__all__ = ["TextChoice", "TextCompletion", "TextRequest", "read_text_request"]

Tokens = Annotated[list[int], Meta(min_length=1)]


class TextRequest(msgspec.Struct):
    """The fields of a request that we know; others pass through."""

    prompt: str | Annotated[list[str | int | Tokens], Meta(min_length=1)]
    """A text, several, tokens, or several lists of tokens."""
    model: str | None = None
    stream: bool | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=128)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    suffix: str | None = None
    user: str | None = None
    stream_options: dict[str, Any] | None = None


class TextChoice(TypedDict):
    """One way in which the text goes on."""

    index: int
    text: str
    finish_reason: str | None
    logprobs: Any


class TextCompletion(TypedDict):
    """A whole answer."""

    id: str
    object: str
    created: int
    model: str
    choices: list[TextChoice]
    usage: NotRequired[dict[str, Any] | None]


def read_text_request(body: Any) -> dict[str, Any]:
    """Check a request.

    Args:
        body (Any): Decoded JSON.

    Returns:
        dict[str, Any]: The same body, unchanged.

    Raises:
        InvalidInput: Its `problems` name the field that is wrong.
    """
    request = read_request(body, TextRequest)
    kinds = {type(one) for one in request.prompt} if isinstance(request.prompt, list) else {str}
    if len(kinds) > 1:
        raise InvalidInput("prompt: texts and tokens are mixed", problems=["prompt: texts and tokens are mixed"])
    if request.stream_options is not None and not request.stream:
        raise InvalidInput("stream_options: only with `stream`", problems=["stream_options: only with `stream`"])
    found: dict[str, Any] = body
    return found
