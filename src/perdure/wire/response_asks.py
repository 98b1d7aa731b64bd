"""A request of OpenAI's `responses`, and the chat that asks the same.

What both wires can say is translated; what only OpenAI's own machines can do - tools that run there, conversations and prompts
that lie there - is refused by name. A field that nobody here knows goes on to the upstream as it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from perdure.errors.base import InvalidInput
from perdure.wire.requests import read_chat_request, read_request
from perdure.wire.response_items import as_messages

__all__ = ["ResponseRequest", "as_chat", "read_response_request"]

_SAME = frozenset(
    {
        "model",
        "temperature",
        "top_p",
        "parallel_tool_calls",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "service_tier",
        "top_logprobs",
    }
)
_OURS = frozenset(
    {"input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens", "max_tool_calls", "metadata", "store"}
    | {"background", "stream", "stream_options", "previous_response_id", "include", "truncation"}
)
_THERE = {
    "conversation": "Go on from a response with `previous_response_id`.",
    "prompt": "Send the text itself as `instructions` and `input`.",
    "context_management": "Shorten `input` yourself.",
    "moderation": "Check the text yourself.",
    "image": "Leave it out.",
    "background_options": "Leave it out.",
    "access_programs": "Leave it out.",
}
_CHATS = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "logprobs": "include: ['message.output_text.logprobs']",
    "n": "several requests",
    "functions": "tools",
    "function_call": "tool_choice",
    "modalities": "text alone",
    "audio": "text alone",
}
_LOGPROBS = "message.output_text.logprobs"


class _Format(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    format: _Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class _Reasoning(msgspec.Struct, forbid_unknown_fields=True):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _Function(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None


class ResponseRequest(msgspec.Struct):
    """The fields of a request that we know; others pass through."""

    input: str | list[dict[str, Any]]
    model: str | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: list[_Function] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    background: bool | None = None
    store: bool | None = None
    metadata: Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None = None
    include: list[str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None


def read_response_request(body: Any) -> dict[str, Any]:
    """Check a request.

    Args:
        body (Any): Decoded JSON.

    Returns:
        dict[str, Any]: The same body, unchanged.

    Raises:
        InvalidInput: Its `problems` name each field that is wrong, or that cannot be asked of a chat.
    """
    request = read_request(body, ResponseRequest, "a request for a response")
    problems = [f"{path}: {what}" for path, what in _problems(request, body)]
    if problems:
        raise InvalidInput(problems[0], problems=problems)
    found: dict[str, Any] = body
    return found


def as_chat(body: Mapping[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    """Say a request as a chat.

    Args:
        body (Mapping[str, Any]): A request that was checked.
        items (list[dict[str, Any]]): All that was said: of the responses before it, and its own input.

    Returns:
        dict[str, Any]: A chat request, without a word of streams.

    Raises:
        InvalidInput: It makes no chat.
    """
    asked = {name: value for name, value in body.items() if value is not None and (name in _SAME or name not in _OURS | _THERE.keys())}
    system = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    asked["messages"] = system + as_messages(items)
    if body.get("tools"):
        asked["tools"] = [{"type": "function", "function": _without(tool, "type")} for tool in body["tools"]]
    if (choice := body.get("tool_choice")) is not None and (body.get("tools") or choice != "auto"):
        asked["tool_choice"] = choice if isinstance(choice, str) else {"type": "function", "function": {"name": choice["name"]}}
    if not body.get("tools"):
        asked.pop("parallel_tool_calls", None)
    if body.get("max_output_tokens") is not None:
        asked["max_completion_tokens"] = body["max_output_tokens"]
    if (body.get("reasoning") or {}).get("effort") is not None:
        asked["reasoning_effort"] = body["reasoning"]["effort"]
    if _LOGPROBS in (body.get("include") or []) or body.get("top_logprobs"):
        asked["logprobs"] = True
    elif "top_logprobs" in asked:
        del asked["top_logprobs"]
    try:
        return read_chat_request(asked | _shape(body.get("text") or {}))
    except InvalidInput as wrong:  # its places are those of the chat, which the caller has never seen
        problems = [f"input: as a chat it would be wrong at {problem}" for problem in wrong.problems or [wrong.message]]
        raise InvalidInput(problems[0], problems=problems) from wrong


def _shape(text: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    wanted = text.get("format") or {"type": "text"}
    if wanted["type"] == "json_schema":
        found["response_format"] = {"type": "json_schema", "json_schema": _without(wanted, "type")}
    elif wanted["type"] == "json_object":
        found["response_format"] = {"type": "json_object"}
    if text.get("verbosity") is not None:
        found["verbosity"] = text["verbosity"]
    return found


def _without(given: Mapping[str, Any], left_out: str) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != left_out and value is not None}


def _problems(request: ResponseRequest, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if request.model == "":
        yield "model", "must not be empty"
    for name, instead in _THERE.items():
        if body.get(name) is not None:
            yield name, f"lies at OpenAI and cannot be asked of a chat. {instead}"
    for name, instead in _CHATS.items():
        if body.get(name) is not None:
            yield name, f"a word of chats; here it is {instead}"
    if request.truncation == "auto":
        yield "truncation", "'auto' cannot be asked of a chat. Shorten `input` yourself"
    if request.stream_options is not None and not request.stream:
        yield "stream_options", "only allowed with `stream: true`"
    if request.background and request.store is False:
        yield "background", "a response in the background is stored; leave `store` out"
    yield from _unknown_includes(request)
    yield from _tools(request)
    wanted = request.text.format if request.text else None
    if wanted is not None and wanted.type == "json_schema" and (not wanted.name or wanted.schema is None):
        yield "text.format", "'json_schema' needs a `name` and a `schema`"


def _unknown_includes(request: ResponseRequest) -> Iterator[tuple[str, str]]:
    known = {_LOGPROBS, "message.input_image.image_url", "reasoning.encrypted_content"}
    for at, wanted in enumerate(request.include or []):
        if wanted not in known and not wanted.startswith(
            ("file_search_call.", "web_search_call.", "computer_call", "code_interpreter_call.")
        ):
            yield f"include[{at}]", f"{wanted[:60]!r} is not known"


def _tools(request: ResponseRequest) -> Iterator[tuple[str, str]]:
    for at, tool in enumerate(request.tools or []):
        if tool.type != "function":
            what = f"{tool.type[:60]!r} runs at OpenAI and cannot be asked of a chat. Give the model a `function` that does it"
            yield f"tools[{at}].type", what
        elif not tool.name:
            yield f"tools[{at}].name", "required"
    names = {tool.name for tool in request.tools or []}
    choice = request.tool_choice
    if isinstance(choice, str):
        if choice not in {"none", "auto", "required"}:
            yield "tool_choice", f"{choice[:60]!r} is none of 'none', 'auto', 'required'"
        elif choice == "required" and not names:
            yield "tool_choice", "'required' without any tools"
    elif choice is not None and choice.type != "function":
        yield "tool_choice.type", f"{choice.type[:60]!r} cannot be asked of a chat. Choose 'auto', 'none', 'required' or a function"
    elif choice is not None and choice.name not in names:
        yield "tool_choice.name", f"{choice.name!r} is not among the tools"
