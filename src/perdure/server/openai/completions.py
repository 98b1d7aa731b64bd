"""`/v1/completions`: the end of a text, as OpenAI did before there were chats, straight to its provider."""

from __future__ import annotations

from perdure.server.answer import Answer, Streamed
from perdure.server.door import Call, Door
from perdure.server.openai.asking import TEXT, answered
from perdure.wire.texts import TextCompletion, TextRequest, read_text_request

__all__ = ["DOORS"]


async def complete(call: Call) -> Answer | Streamed:
    """Go on with a text.

    Args:
        call (Call): With a request that has a `prompt`.

    Returns:
        Answer | Streamed: A `text_completion`, whole or in pieces.
    """
    return await answered(call, read_text_request(call.body), TEXT)


DOORS = (
    Door(
        "POST", "/v1/completions", complete, "create_completion", "Go on with a text, whole or as a stream.", "OpenAI",
        "chat:write", bodies=(TextRequest,), raw=True, answers={200: TextCompletion}, streams=True,
        refusals=(402, 404, 409, 429, 502, 504), once=True,
    ),
)  # fmt: skip
