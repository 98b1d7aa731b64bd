"""Requests for vectors of texts, and the answers to them."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypedDict

import msgspec
from msgspec import Meta

from perdure.errors.base import InvalidInput
from perdure.wire.requests import read_request

__all__ = ["EmbeddingList", "EmbeddingRequest", "EmbeddingRow", "embedding_list", "read_embedding_request", "texts_of"]

Text = Annotated[str, Meta(min_length=1)]
Tokens = Annotated[list[int], Meta(min_length=1)]


class EmbeddingRequest(msgspec.Struct):
    """The fields of a request that we know; others pass through."""

    input: Text | Annotated[list[Text | int | Tokens], Meta(min_length=1, max_length=2048)]
    """A text, several, tokens, or several lists of tokens."""
    model: str | None = None
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class EmbeddingRow(TypedDict):
    """One vector."""

    object: str
    index: int
    embedding: list[float] | str


class EmbeddingList(TypedDict):
    """The vectors, in the order of the texts."""

    object: str
    data: list[EmbeddingRow]
    model: str
    usage: dict[str, int]


def read_embedding_request(body: Any) -> EmbeddingRequest:
    """Check a request.

    Args:
        body (Any): Decoded JSON.

    Returns:
        EmbeddingRequest: The fields that we know.

    Raises:
        InvalidInput: Its `problems` name the field that is wrong.
    """
    request = read_request(body, EmbeddingRequest)
    if isinstance(request.input, list) and len({type(one) for one in request.input}) > 1:
        raise InvalidInput("input: texts and tokens are mixed", problems=["input: texts and tokens are mixed"])
    return request


def texts_of(request: EmbeddingRequest) -> list[str | list[int]]:
    """List what is to become a vector each.

    Args:
        request (EmbeddingRequest): It.

    Returns:
        list[str | list[int]]: Texts, or tokens of a text.
    """
    if isinstance(request.input, str):
        return [request.input]
    tokens = [one for one in request.input if isinstance(one, int)]
    return [tokens] if tokens else [one for one in request.input if not isinstance(one, int)]


def embedding_list(vectors: Sequence[Sequence[float]], *, model: str, tokens: int | None, packed: bool) -> EmbeddingList:
    """Write an answer.

    Args:
        vectors (Sequence[Sequence[float]]): In order.
        model (str): Who made them.
        tokens (int | None): How many the texts had; None, if nobody has counted, is written as 0, since clients need a number.
        packed (bool): As little-endian floats in base64, a quarter of the size.

    Returns:
        EmbeddingList: Ready to encode.
    """
    rows: list[EmbeddingRow] = [
        {"object": "embedding", "index": at, "embedding": _packed(vector) if packed else list(vector)} for at, vector in enumerate(vectors)
    ]
    used = tokens or 0
    return {"object": "list", "data": rows, "model": model, "usage": {"prompt_tokens": used, "total_tokens": used}}


def _packed(vector: Sequence[float]) -> str:
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode("ascii")
