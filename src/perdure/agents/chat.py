"""The built-in agent `chat`: one OpenAI chat request, answered as one step."""

from __future__ import annotations

from typing import Any

from perdure.agents.agent import Agent
from perdure.agents.run import Run

__all__ = ["chat"]

_REQUEST: dict[str, Any] = {
    "title": "ChatRequest",
    "description": "An OpenAI chat completion request; further parameters are passed on as they are.",
    "type": "object",
    "properties": {
        "model": {"type": ["string", "null"], "description": "`provider/model` or an alias; the default model if absent."},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "properties": {"role": {"type": "string"}}, "required": ["role"]},
        },
    },
    "required": ["messages"],
}


async def _chat(run: Run) -> dict[str, Any]:
    """Answer an OpenAI chat request; the result is the whole `chat.completion`."""
    return await run.complete("chat", run.body)


chat: Agent = Agent(_chat, name="chat", input=_REQUEST)
"""Body: an OpenAI chat request. Result: the whole `chat.completion`."""
