"""The built-in agent `chat`: one OpenAI chat request, answered as one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perdure.agents.agent import Agent
from perdure.agents.run import Run
from perdure.agents.shapes import problems_of
from perdure.errors.base import InvalidInput
from perdure.wire.texts import read_text_request
from perdure.wire.vectors import read_embedding_request

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


_READERS: Mapping[str, Callable[[Any], Any]] = {"prompt": read_text_request, "input": read_embedding_request}


async def _chat(run: Run) -> dict[str, Any]:
    """Answer an OpenAI chat request; the result is the whole `chat.completion`. Lines of batches may ask for texts or vectors."""
    _check(run.body)
    return await run.complete("chat", run.body)


def _check(body: Any) -> None:
    """Refuse what is no request before anybody is paid; lines of a batch come unread."""
    asks = [name for name in _READERS if isinstance(body, dict) and name in body and "messages" not in body]
    if asks:
        _READERS[asks[0]](body)
    elif problems := problems_of(body, _REQUEST, at="body"):
        raise InvalidInput(problems[0], problems=problems)


chat: Agent = Agent(_chat, name="chat", input=_REQUEST)
"""Body: an OpenAI chat request. Result: the whole `chat.completion`."""
