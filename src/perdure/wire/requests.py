"""A chat request as OpenAI takes it: what may be in it, and exactly what is wrong with one.

The types say what each known field may be; rules that types cannot say follow as a table of checks.
A request is checked and then passed on as it came: a field that we do not know is the upstream's to
judge, and what the caller left out is not sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from perdure.errors.base import InvalidInput

T = TypeVar("T")

__all__ = [
    "ChatMessage",
    "ChatRequest",
    "ContentPart",
    "FunctionCall",
    "FunctionSpec",
    "Tool",
    "ToolCall",
    "param_of",
    "read_chat_request",
    "read_request",
    "wrong",
]

_NAME = re.compile(r"[a-zA-Z0-9_.:-]{1,128}\Z")
_ALLOWED = {
    "role": "'system', 'developer', 'user', 'assistant', 'tool'",
    "type": "'text', 'json_object', 'json_schema'",
}
_PARTS = {"text": "text", "image_url": "image_url", "input_audio": "input_audio", "file": "file", "refusal": "refusal"}


class FunctionCall(msgspec.Struct):
    """Which function a model called."""

    name: str
    arguments: str = "{}"
    """JSON, as text."""


class ToolCall(msgspec.Struct):
    """One call that a model asked for."""

    id: str
    function: FunctionCall | None = None
    """Of a call of type `function`; other types have a field of their own, which passes through."""
    type: str = "function"


class ContentPart(msgspec.Struct):
    """One part of a message that is not plain text alone."""

    type: str
    text: str | None = None


class ChatMessage(msgspec.Struct):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class FunctionSpec(msgspec.Struct):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct):
    """A tool that the model may call."""

    type: str
    function: FunctionSpec | None = None


class _Named(msgspec.Struct):
    name: str


class _ToolChoice(msgspec.Struct):
    type: str
    function: _Named | None = None


class _SchemaFormat(msgspec.Struct):
    name: str = "answer"
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _SchemaFormat | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatRequest(msgspec.Struct):
    """The fields of a chat request that we know; others pass through."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    model: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | _ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: _ResponseFormat | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    service_tier: str | None = None
    """`flex` may wait: it is put as a message."""


def read_chat_request(body: Any) -> dict[str, Any]:
    """Check a chat request.

    Args:
        body (Any): Decoded JSON.

    Returns:
        dict[str, Any]: The same body, unchanged.

    Raises:
        InvalidInput: Its `problems` name each field that is wrong; `param_of` gives the first.
    """
    request = read_request(body, ChatRequest, "a chat request")
    problems = [f"{path}: {what}" for path, what in _problems(request, body)]
    if problems:
        raise InvalidInput(problems[0], problems=problems)
    found: dict[str, Any] = body
    return found


def read_request(body: Any, kind: type[T], what: str = "a request") -> T:
    """Check that the fields of a request are what they should be.

    Args:
        body (Any): Decoded JSON.
        kind (type[T]): The fields that we know.
        what (str): What it is called.

    Returns:
        T: Those.

    Raises:
        InvalidInput: Its `problems` name the field that is wrong.
    """
    if not isinstance(body, dict):
        raise InvalidInput(f"{what} is a JSON object, not {_kind(body)}")
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as wrong:
        problem = _located(wrong)
        raise InvalidInput(problem, problems=[problem]) from wrong


def param_of(error: InvalidInput) -> str | None:
    """Say which field of a request is to blame.

    Args:
        error (InvalidInput): From `read_chat_request`.

    Returns:
        str | None: For example `messages[0].role`; None if it is the whole body.
    """
    path, found, _ = (error.problems[0] if error.problems else "").partition(": ")
    return path if found else None


def wrong(place: str, what: str) -> InvalidInput:
    """Say that one field of a request is wrong.

    Args:
        place (str): Which, as `param_of` will give it.
        what (str): What is wrong with it.

    Returns:
        InvalidInput: To be raised.
    """
    problem = f"{place}: {what}"
    return InvalidInput(problem, problems=[problem])


def _problems(request: ChatRequest, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for at, message in enumerate(request.messages):
        for field, what in _message(message, body["messages"][at]):
            yield f"messages[{at}]{field}", what
    yield from _answered_calls(request.messages)
    yield from _tools(request)
    wanted = request.response_format
    if wanted is not None and wanted.type == "json_schema" and (wanted.json_schema is None or wanted.json_schema.schema is None):
        yield "response_format.json_schema", "needs a `schema`"
    if request.stream_options is not None and not request.stream:
        yield "stream_options", "only allowed with `stream: true`"
    if request.model == "":
        yield "model", "must not be empty"


def _message(message: ChatMessage, raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if message.role == "assistant":
        if message.content is None and not message.tool_calls and not raw.get("refusal") and not raw.get("function_call"):
            yield ".content", "an assistant message needs content or tool_calls"
    elif message.content is None and message.role != "function":
        yield ".content", f"required for role {message.role!r}"
    if message.role == "tool" and not message.tool_call_id:
        yield ".tool_call_id", "required for role 'tool'"
    if message.tool_calls and message.role != "assistant":
        yield ".tool_calls", f"not allowed for role {message.role!r}"
    for at, call in enumerate(message.tool_calls or []):
        if call.type == "function" and call.function is None:
            yield f".tool_calls[{at}].function", "required for a call of type 'function'"
        elif call.function is not None and not call.function.name:
            yield f".tool_calls[{at}].function.name", "must not be empty"
    if isinstance(message.content, list):
        if not message.content:
            yield ".content", "a list of parts must not be empty"
        for at, part in enumerate(raw["content"]):
            field = _PARTS.get(part["type"])
            if field is not None and part.get(field) is None:
                yield f".content[{at}].{field}", f"required for a part of type {part['type']!r}"


def _answered_calls(messages: list[ChatMessage]) -> Iterator[tuple[str, str]]:
    """A tool's answer follows the message that called it."""
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        if message.role == "tool" and message.tool_call_id and message.tool_call_id not in open_calls:
            yield f"messages[{at}].tool_call_id", f"no call with id {message.tool_call_id!r} comes before this answer"
        open_calls.update(call.id for call in message.tool_calls or [])


def _tools(request: ChatRequest) -> Iterator[tuple[str, str]]:
    names: list[str] = []
    for at, tool in enumerate(request.tools or []):
        if tool.type == "function" and tool.function is None:
            yield f"tools[{at}].function", "required for a tool of type 'function'"
        elif tool.function is not None:
            name = tool.function.name
            if not _NAME.match(name):
                yield f"tools[{at}].function.name", f"{name!r} must be 1 to 128 of a-z, A-Z, 0-9, '_', '-', '.', ':'"
            elif name in names:
                yield f"tools[{at}].function.name", f"{name!r} is there twice"
            names.append(name)
    yield from _choice(request, names)


def _choice(request: ChatRequest, names: list[str]) -> Iterator[tuple[str, str]]:
    choice = request.tool_choice
    if choice is None:
        return
    if isinstance(choice, str):
        if choice not in {"none", "auto", "required"}:
            yield "tool_choice", f"{choice!r} is none of 'none', 'auto', 'required'"
        elif choice == "required" and not request.tools:
            yield "tool_choice", "'required' without any tools"
    elif choice.type == "function" and (choice.function is None or choice.function.name not in names):
        named = None if choice.function is None else choice.function.name
        yield "tool_choice.function.name", f"{named!r} is not among the tools"


def _located(wrong: msgspec.ValidationError) -> str:
    """Turn msgspec's `… - at $.a[0].b` into `a[0].b: …`; a missing field is itself the place."""
    what, _, place = str(wrong).partition(" - at `$")
    path = place.rstrip("`").removeprefix(".")
    missing = re.match(r"Object missing required field `(\w+)`", what)
    if missing:
        return f"{path}.{missing[1]}".removeprefix(".") + ": required"
    allowed = _ALLOWED.get(path.rpartition(".")[2]) if what.startswith("Invalid enum value") else None
    return f"{path or 'body'}: {what[0].lower()}{what[1:]}" + (f", must be one of {allowed}" if allowed else "")


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean", type(None): "null"}
    return names.get(type(value), type(value).__name__)
