"""Tool calls for models that have none of their own.

The tools are described in the system prompt, and the answer is constrained by JSON Schema to either one
call `{"name": …, "arguments": {…}}` or a plain `{"answer": …}`; what comes back is mapped to OpenAI's
`tool_calls`. Calls and their results in the conversation are written out as plain messages, because a
template that knows no tools would drop or refuse them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from perdure.errors.base import Billed, Evidence, InvalidOutput, InvalidRequest

__all__ = ["Offer", "plain_messages"]

_TOOL_FIELDS = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call")


class Offer:
    """One request with its tools made plain, and the way back.

    Args:
        provider (str): For messages.
        body (Mapping[str, Any]): The request, with tools.
        repeat (bool): Offer a tool again that was called since the last user message. False for very
            small models, which would call it for ever.
    """

    def __init__(self, provider: str, body: Mapping[str, Any], *, repeat: bool = True) -> None:
        self._provider = provider
        self._tools = _offered(provider, body, repeat=repeat)
        choice = body.get("tool_choice")
        self._answers = choice != "required" and not isinstance(choice, Mapping)
        self.request: dict[str, Any] = self._plain(body)

    def _plain(self, body: Mapping[str, Any]) -> dict[str, Any]:
        request = {name: value for name, value in body.items() if name not in _TOOL_FIELDS}
        request["messages"] = plain_messages(body["messages"])
        if self._tools:
            request["messages"] = _with_system(request["messages"], self._describe())
            schema = self._schema(body.get("response_format"))
            request["response_format"] = {"type": "json_schema", "json_schema": {"name": "call", "strict": True, "schema": schema}}
        return request

    def _describe(self) -> str:
        lines = [
            f"- {tool['name']}: {tool.get('description') or ''} Arguments: {_compact(tool.get('parameters') or {})}" for tool in self._tools
        ]
        use = 'To use one, write {"name": its name, "arguments": its arguments}.'
        other = ' To answer the user, write {"answer": your answer}.' if self._answers else ""
        return "\n".join(["You can use these tools:", *lines, use + other])

    def _schema(self, wanted: Mapping[str, Any] | None) -> dict[str, Any]:
        root = _Root()
        ways = [_object(name={"const": tool["name"]}, arguments=root.take(tool.get("parameters") or _object())) for tool in self._tools]
        if self._answers:
            ways.append(_object(answer=root.take(_answer_schema(wanted))))
        schema = ways[0] if len(ways) == 1 else {"anyOf": ways}
        return {**schema, "$defs": root.definitions} if root.definitions else schema

    def take(self, body: dict[str, Any]) -> dict[str, Any]:
        """Map the answer back.

        Args:
            body (dict[str, Any]): The completion of `request`.

        Returns:
            dict[str, Any]: With `tool_calls`, or with the plain answer as content.

        Raises:
            InvalidOutput: A call was demanded and none came, or it broke off in the middle.
        """
        if not self._tools:
            return body
        return {**body, "choices": [self._choice(choice) for choice in body["choices"]]}

    def _choice(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        message, reason = dict(choice["message"]), choice.get("finish_reason")
        text = message.get("content") or ""
        said = _decoded(text)
        if said is not None and said.get("name") in {tool["name"] for tool in self._tools}:
            function = {"name": said["name"], "arguments": json.dumps(said.get("arguments") or {}, ensure_ascii=False)}
            calls = [{"id": f"call_{uuid4().hex[:24]}", "type": "function", "function": function}]
            return {**choice, "message": {**message, "content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
        if not self._answers:
            raise self._invalid(text, reason)
        return {**choice, "message": {**message, "content": self._answer(said, text, reason)}}

    def _answer(self, said: dict[str, Any] | None, text: str, reason: str | None) -> str:
        if said is None and reason == "length":
            said = _decoded(text + '"}')  # the answer ran out of room in the middle of its text
        if said is not None and "answer" in said:
            answer = said["answer"]
            return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        if said is None and reason == "length" and text.lstrip().startswith("{"):
            raise self._invalid(text, reason)
        return text  # a server that does not constrain: what it said is the answer

    def _invalid(self, text: str, reason: str | None) -> InvalidOutput:
        what = "broke off in the middle of a tool call" if reason == "length" else "made no tool call although one was demanded"
        return InvalidOutput(
            f"{self._provider!r} {what}: {text[:200]!r}",
            hint="Raise `max_tokens`." if reason == "length" else "Does the server enforce `response_format`?",
            billed=Billed.YES,
            evidence=Evidence(provider=self._provider, rule="emulated-call"),
        )


def plain_messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write calls and their results out as messages that any template knows.

    Args:
        messages (list[dict[str, Any]]): A conversation, perhaps with tools in it.

    Returns:
        list[dict[str, Any]]: With `system`, `user` and `assistant` alone.
    """
    names: dict[str, str] = {}
    plain = []
    for message in messages:
        calls = message.get("tool_calls") or []
        names.update({call["id"]: call["function"]["name"] for call in calls})
        if message["role"] == "tool":
            name = names.get(message.get("tool_call_id", ""), "the tool")
            plain.append({"role": "user", "content": f"Result of {name}: {_text(message.get('content'))}"})
        elif calls:
            plain.append({"role": "assistant", "content": "\n".join(_written(call) for call in calls)})
        else:
            role = "system" if message["role"] == "developer" else message["role"]
            plain.append({**{name: value for name, value in message.items() if name != "tool_calls"}, "role": role})
    return plain


class _Root:
    """Collects the `$defs` of several schemas under one root, under names that cannot collide."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._count = 0

    def take(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        self._count += 1
        prefix = f"s{self._count}_"
        own = {**(schema.get("definitions") or {}), **(schema.get("$defs") or {})}
        self.definitions.update({prefix + name: _renamed(value, prefix) for name, value in own.items()})
        body = {name: value for name, value in schema.items() if name not in {"$defs", "definitions", "$schema"}}
        renamed: dict[str, Any] = _renamed(body, prefix)
        return renamed


def _renamed(value: Any, prefix: str) -> Any:
    if isinstance(value, list):
        return [_renamed(item, prefix) for item in value]
    if not isinstance(value, Mapping):
        return value
    new = {name: _renamed(item, prefix) for name, item in value.items()}
    reference = new.get("$ref")
    if isinstance(reference, str) and reference.startswith(("#/$defs/", "#/definitions/")):
        new["$ref"] = f"#/$defs/{prefix}{reference.rsplit('/', 1)[1]}"
    return new


def _offered(provider: str, body: Mapping[str, Any], *, repeat: bool) -> list[dict[str, Any]]:
    tools = [tool["function"] for tool in body.get("tools") or [] if tool.get("function")]
    choice = body.get("tool_choice")
    if choice == "none":
        return []
    if isinstance(choice, Mapping):
        named = (choice.get("function") or {}).get("name")
        tools = [tool for tool in tools if tool["name"] == named]
        if not tools:
            raise InvalidRequest(f"`tool_choice` names {named!r}, which is not among the tools", evidence=Evidence(provider=provider))
        return tools
    if choice == "required" or repeat:
        return tools
    used = _called_since_last_user(body["messages"])
    return [tool for tool in tools if tool["name"] not in used]


def _called_since_last_user(messages: list[dict[str, Any]]) -> set[str]:
    names: set[str] = set()
    for message in reversed(messages):
        if message["role"] == "user":
            break
        names.update(call["function"]["name"] for call in message.get("tool_calls") or [])
    return names


def _answer_schema(wanted: Mapping[str, Any] | None) -> dict[str, Any]:
    kind = (wanted or {}).get("type")
    if kind == "json_schema":
        return dict((wanted or {})["json_schema"].get("schema") or {})
    return {"type": "object"} if kind == "json_object" else {"type": "string"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _with_system(messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    if messages and messages[0]["role"] == "system" and isinstance(messages[0].get("content"), str):
        return [{**messages[0], "content": f"{messages[0]['content']}\n\n{text}"}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def _written(call: Mapping[str, Any]) -> str:
    arguments = _decoded(call["function"].get("arguments") or "{}")
    return _compact({"name": call["function"]["name"], "arguments": arguments if arguments is not None else {}})


def _decoded(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return str(content)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
