"""Calls that go on in the background of an `Upstream`, on the wire of `responses`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import web

__all__ = ["BackgroundCalls", "as_chat"]

Answer: TypeAlias = Callable[[web.Request, dict[str, Any]], dict[str, Any]]
"""Notes a request and makes its completion."""


class BackgroundCalls:
    """Takes calls, and answers for them when it is asked often enough.

    Args:
        answer (Answer): Notes a request and makes its completion.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.looks: int = 1
        """The answer is ready at the so-manieth look."""
        self.looked: int = 0
        self.kept: dict[str, dict[str, Any]] = {}
        """By handle; empty it, and all have expired."""
        self.outcomes: dict[str, dict[str, Any]] = {}
        """By handle: what is answered instead of a completed response, such as `{"status": "failed", "error": {…}}`."""

    async def begin(self, request: web.Request) -> web.Response:
        """Take a call: one request, counted like any other.

        Args:
            request (web.Request): `POST /v1/responses`.

        Returns:
            web.Response: Queued.
        """
        body = await request.json()
        made = self._answer(request, as_chat(body))
        handle = f"resp_{len(self.kept) + 1}"
        self.kept[handle] = _response(handle, made)
        return web.json_response({"id": handle, "object": "response", "status": "queued", "output": [], "model": body.get("model")})

    async def look(self, request: web.Request) -> web.Response:
        """Answer for a call.

        Args:
            request (web.Request): `GET /v1/responses/{handle}`.

        Returns:
            web.Response: 404 for one that is not kept.
        """
        handle = request.match_info["handle"]
        self.looked += 1
        if handle not in self.kept:
            return web.json_response({"error": {"message": f"no response {handle}", "type": "invalid_request_error"}}, status=404)
        if self.looked < self.looks:
            return web.json_response({"id": handle, "object": "response", "status": "in_progress", "output": []})
        return web.json_response(self.kept[handle] | self.outcomes.get(handle, {}))


def as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """Say a request of `responses` as the chat it came from, as far as a script needs it.

    Args:
        body (Mapping[str, Any]): What was posted.

    Returns:
        dict[str, Any]: With `model` and `messages`.
    """
    messages = [{"role": item["role"], "content": item.get("content")} for item in body.get("input") or [] if "role" in item]
    return {"model": body.get("model"), "messages": messages, "metadata": body.get("metadata") or {}}


def _response(handle: str, made: Mapping[str, Any]) -> dict[str, Any]:
    message, usage = made["choices"][0]["message"], made.get("usage") or {}
    said = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": message.get("content") or ""}]}]
    calls = [
        {"type": "function_call", "call_id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"]}
        for call in message.get("tool_calls") or []
    ]
    return {
        "id": handle,
        "object": "response",
        "status": "completed",
        "model": made.get("model"),
        "output": calls or said,
        "usage": {
            "input_tokens": usage.get("prompt_tokens"),
            "output_tokens": usage.get("completion_tokens"),
            "total_tokens": usage.get("total_tokens"),
        },
    }
