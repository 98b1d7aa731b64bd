"""Answers as OpenAI writes them, whole and in pieces.

An answer is kept as the plain dict that goes over the wire: fields of a provider that we do not know
survive, and a recorded answer is given out exactly as it came. The types here say what may be relied on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NotRequired, TypedDict
from uuid import uuid4

from perdure.clock import now

_TEXTS = ("reasoning_content", "content", "refusal")
_CUT = frozenset({"role", "tool_calls", *_TEXTS})

__all__ = ["ChatChunk", "ChatCompletion", "Choice", "ChunkChoice", "ModelList", "ModelRow", "chunks_of", "completion", "model_list"]


class Choice(TypedDict):
    """One answer of a completion."""

    index: int
    message: dict[str, Any]
    finish_reason: str | None
    logprobs: NotRequired[Any]


class ChatCompletion(TypedDict):
    """A whole answer."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: NotRequired[dict[str, Any] | None]


class ChunkChoice(TypedDict):
    """One answer's next piece."""

    index: int
    delta: dict[str, Any]
    finish_reason: str | None


class ChatChunk(TypedDict):
    """A piece of a streamed answer; the last one has `usage` and no choices."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[dict[str, Any] | None]


class ModelRow(TypedDict):
    """One model that can be asked."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelList(TypedDict):
    """The answer of `/v1/models`."""

    object: str
    data: list[ModelRow]


def completion(
    *,
    model: str,
    message: Mapping[str, Any],
    finish_reason: str = "stop",
    usage: Mapping[str, Any] | None = None,
    id: str | None = None,
    created: int | None = None,
) -> dict[str, Any]:
    """Write a whole answer with one choice.

    Args:
        model (str): Who answered.
        message (Mapping[str, Any]): The assistant's message.
        finish_reason (str): `stop`, `length`, `tool_calls` or `content_filter`.
        usage (Mapping[str, Any] | None): As counted; left out when unknown.
        id (str | None): None for a new one.
        created (int | None): Unix seconds; None for now.

    Returns:
        dict[str, Any]: An OpenAI `chat.completion`.
    """
    body: dict[str, Any] = {
        "id": id or f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(now()) if created is None else created,
        "model": model,
        "choices": [{"index": 0, "message": dict(message), "logprobs": None, "finish_reason": finish_reason}],
    }
    if usage is not None:
        body["usage"] = dict(usage)
    return body


def chunks_of(whole: Mapping[str, Any], *, piece: int | None = None, include_usage: bool = True) -> list[dict[str, Any]]:
    """Cut a whole answer into the chunks of a stream.

    Args:
        whole (Mapping[str, Any]): A `chat.completion`.
        piece (int | None): Letters of content per chunk; None for all in one.
        include_usage (bool): End with a chunk of usage and no choices.

    Returns:
        list[dict[str, Any]]: `chat.completion.chunk` objects that assemble to the same answer.
    """
    said = {name: value for name, value in whole.items() if name not in {"object", "choices", "usage"}}
    head = {"id": None, "created": None, "model": None, **said, "object": "chat.completion.chunk"}
    pieces: list[dict[str, Any]] = []
    for choice in whole.get("choices") or []:
        index = choice.get("index", 0)
        beside = {name: value for name, value in choice.items() if name not in {"index", "message"} and value is not None}
        cut = [{"index": index, "delta": delta, "finish_reason": None} for delta in _deltas(choice.get("message") or {}, piece)]
        cut.append({"index": index, "delta": {}, "finish_reason": None, **beside})
        pieces += [{**head, "choices": [one]} for one in cut]
    if include_usage and whole.get("usage") is not None:
        pieces.append({**head, "choices": [], "usage": whole["usage"]})
    return pieces


def model_list(names: list[str], *, owned_by: str = "perdure", created: int = 0) -> ModelList:
    """Write the answer of `/v1/models`.

    Args:
        names (list[str]): Model names.
        owned_by (str): Whose they are.
        created (int): Unix seconds.

    Returns:
        ModelList: Ready to encode.
    """
    rows: list[ModelRow] = [{"id": name, "object": "model", "created": created, "owned_by": owned_by} for name in names]
    return {"object": "list", "data": rows}


def _deltas(message: Mapping[str, Any], piece: int | None) -> Iterator[dict[str, Any]]:
    yield {"role": message.get("role", "assistant"), "content": ""}
    more = {name: value for name, value in message.items() if name not in _CUT and value is not None}
    if more:
        yield more
    for field in _TEXTS:
        for part in _parts(message.get(field), piece):
            yield {field: part}
    for at, call in enumerate(message.get("tool_calls") or []):
        yield {"tool_calls": [{"index": at, **call}]}


def _parts(text: str | None, piece: int | None) -> list[str]:
    if not text:
        return []
    size = piece or len(text)
    return [text[at : at + size] for at in range(0, len(text), size)]
