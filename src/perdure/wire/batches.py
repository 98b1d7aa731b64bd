"""Batches as OpenAI takes them: the order, and the lines of its file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from perdure.errors.base import InvalidInput
from perdure.wire.files import MONTH_S
from perdure.wire.response_asks import as_chat, read_response_request
from perdure.wire.response_items import items_of

_WINDOW = re.compile(r"([1-9][0-9]{0,3})([mhd])\Z")
_UNIT_S = {"m": 60, "h": 3600, "d": 24 * 3600}
_PRIORITY = re.compile(r"[0-9]\Z")
USUAL_PRIORITY = 7
"""What nobody waits for lets others go first."""
_ID_LETTERS = 512
_ALONE = {"previous_response_id": "Send all that was said before as `input`.", "background": "Leave it out: nobody waits for a batch."}

__all__ = ["USUAL_PRIORITY", "BatchRequest", "Line", "priority_of", "read_line", "window_s"]


class ExpiresAfter(msgspec.Struct, kw_only=True):
    """How long the files of answers are kept."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3600, le=MONTH_S)]


class BatchRequest(msgspec.Struct, kw_only=True):
    """What is to be done with a file of lines."""

    input_file_id: Annotated[str, Meta(min_length=1, max_length=64)]
    endpoint: Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
    """Each of them a request that the agent `chat` can answer."""
    completion_window: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,3}[mhd]$(?!\n)", description="`24h` as at OpenAI; also `30m` or `7d`.")]
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=16, description="`priority`, 0 to 9, is that of the messages: 0 is the most urgent, 7 the usual."),
        ]
        | None
    ) = None
    output_expires_after: ExpiresAfter | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a file."""

    custom_id: str
    model: str | None
    body: bytes
    """What the agent `chat` is asked: JSON."""
    response: bytes | None = None
    """Of a line that asks for a response: the request as it stands there."""


class _LineJson(msgspec.Struct, kw_only=True):
    custom_id: str
    method: str
    url: str
    body: dict[str, Any]


def window_s(window: str) -> float:
    """Read how long a batch may take.

    Args:
        window (str): As its caller said it.

    Returns:
        float: In seconds.

    Raises:
        InvalidInput: It is no such word.
    """
    found = _WINDOW.match(window)
    if found is None:
        raise InvalidInput(f"completion_window: {window[:20]!r} is none", problems=["completion_window: such as `24h`"])
    return float(int(found[1]) * _UNIT_S[found[2]])


def priority_of(metadata: Mapping[str, str]) -> int:
    """Read the priority of a batch's messages.

    Args:
        metadata (Mapping[str, str]): The batch's.

    Returns:
        int: 0 to 9.

    Raises:
        InvalidInput: It says another.
    """
    said = metadata.get("priority")
    if said is None:
        return USUAL_PRIORITY
    if not _PRIORITY.match(said):
        raise InvalidInput(f"metadata.priority: {said[:20]!r} is none", problems=["metadata.priority: 0 to 9"])
    return int(said)


def read_line(said: Any, endpoint: str) -> Line:
    """Read a line.

    Args:
        said (Any): Its JSON, decoded.
        endpoint (str): Of the batch.

    Returns:
        Line: What it asks for.

    Raises:
        InvalidInput: It is no request to this endpoint; its `problems` name the field.
    """
    try:
        line = msgspec.convert(said, _LineJson)
    except msgspec.ValidationError as error:
        complaint, _, place = str(error).partition(" - at `$.")
        raise _wrong(place.rstrip("`") or "line", complaint) from error
    if not 0 < len(line.custom_id) <= _ID_LETTERS:
        raise _wrong("custom_id", f"must have 1 to {_ID_LETTERS} characters")
    if line.method != "POST":
        raise _wrong("method", f"is {line.method[:20]!r}, not 'POST'")
    if line.url != endpoint:
        raise _wrong("url", f"is {line.url[:60]!r}, and the batch is for {endpoint!r}")
    if line.body.get("stream"):
        raise _wrong("body.stream", "an answer in a file cannot be streamed")
    model = line.body.get("model")
    if model is not None and not isinstance(model, str):
        raise _wrong("body.model", "a model's name is a text")
    asked = {name: value for name, value in line.body.items() if name not in ("stream", "stream_options")}
    if endpoint != "/v1/responses":
        return Line(custom_id=line.custom_id, model=model, body=msgspec.json.encode(asked))
    chat = msgspec.json.encode(_chat(asked))
    return Line(custom_id=line.custom_id, model=model, body=chat, response=msgspec.json.encode(asked))


def _chat(asked: dict[str, Any]) -> dict[str, Any]:
    for name, instead in _ALONE.items():
        if asked.get(name):
            raise _wrong(f"body.{name}", f"cannot be said in a batch. {instead}")
    try:
        request = read_response_request(asked)
        return as_chat(request, items_of(request["input"]))
    except InvalidInput as error:
        problems = [f"body.{problem}" for problem in error.problems or [error.message]]
        raise InvalidInput(problems[0], problems=problems) from error


def _wrong(field: str, complaint: str) -> InvalidInput:
    return InvalidInput(f"{field}: {complaint}", problems=[f"{field}: {complaint}"])
