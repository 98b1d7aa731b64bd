"""What the model behind the door says: by rules, so that a client's tests can know what is right.

It adds numbers, calls the tools it is offered when asked for their names, tells what a tool has answered, and writes JSON
of the schema that was asked for. Everything else it repeats.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from perdure.testing.replies import default_reply, smallest

_SUM = re.compile(r"(\d+)\s*\+\s*(\d+)")


def answer(body: dict[str, Any]) -> str | Mapping[str, Any]:
    last = body["messages"][-1]
    if last["role"] == "tool":
        return f"The tool says: {last['content']}"
    text = _text(last.get("content"))
    if body.get("tools") and (body.get("tool_choice") or "auto") == "auto":
        called = [tool["function"] for tool in body["tools"] if tool.get("function") and tool["function"]["name"] in text]
        if called:
            return {
                "tool_calls": [{"id": f"call_{at}", "name": one["name"], "arguments": _arguments(one)} for at, one in enumerate(called)]
            }
    if found := _SUM.search(text):
        return str(int(found[1]) + int(found[2]))
    return default_reply(body)


def _arguments(function: Mapping[str, Any]) -> str:
    return json.dumps(smallest(function.get("parameters") or {}))


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(part["text"] if part["type"] == "text" else f"[{part['type']}]" for part in content)
    return str(content or "")
