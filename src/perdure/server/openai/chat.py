"""`/v1/chat/completions`: a chat straight to its provider, whole or piece by piece.

Each deployment of the model is tried once, as for runs (`tries.py`). When the caller hangs up, the call to the provider is
cancelled. A stream that breaks ends with an error, never silently and never with another answer sewn on: a client that
knows OpenAI's wire raises on it.
"""

from __future__ import annotations

from perdure.server.answer import Answer, Streamed
from perdure.server.door import Call, Door
from perdure.server.openai.asking import CHAT, answered
from perdure.server.openai.queued import QueuedChat, is_queued, queued
from perdure.wire.answers import ChatCompletion
from perdure.wire.requests import ChatRequest, read_chat_request

__all__ = ["DOORS"]


async def complete(call: Call) -> Answer | Streamed:
    """Answer a chat.

    Args:
        call (Call): With a chat request.

    Returns:
        Answer | Streamed: A `chat.completion`, or its chunks.
    """
    body = read_chat_request(call.body)
    return await (queued(call, body) if is_queued(call) else answered(call, body, CHAT))


DOORS = (
    Door(
        "POST", "/v1/chat/completions", complete, "create_chat_completion", "Answer a chat, whole or as a stream.", "OpenAI",
        "chat:write", bodies=(ChatRequest,), raw=True, answers={200: ChatCompletion, 202: QueuedChat}, streams=True,
        refusals=(402, 404, 409, 429, 502, 504), once=True,
    ),
)  # fmt: skip
