"""`/v1/embeddings`: vectors of texts, from the first deployment that gives them.

No other model ever takes the place of the one that was asked: its vectors would not be comparable.
"""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.errors.base import InvalidRequest
from perdure.providers.protocol import EmbeddingProvider, Embeddings
from perdure.providers.target import Target
from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.gone import while_there
from perdure.server.openai.telling import say_cost, tell_answered
from perdure.server.openai.tries import Made, Tries
from perdure.wire.vectors import EmbeddingList, EmbeddingRequest, embedding_list, read_embedding_request, texts_of

_READ = frozenset({"input", "model", "dimensions", "encoding_format"})

__all__ = ["DOORS"]


async def embed(call: Call) -> Answer:
    """Turn texts into vectors.

    Args:
        call (Call): With a request that has an `input`.

    Returns:
        Answer: 200 with a list of vectors.
    """
    request = read_embedding_request(call.body)
    texts = texts_of(request)
    more = {name: value for name, value in call.body.items() if name not in _READ and value is not None}

    async def ask(target: Target) -> Embeddings:
        provider = target.provider
        if not isinstance(provider, EmbeddingProvider):
            raise InvalidRequest(f"{provider.name!r} turns no texts into vectors", hint="Ask a model that does.")
        beside: dict[str, Any] = {"more": more} if more else {}
        return await provider.embed(texts, model=target.model, dimensions=request.dimensions, **beside)

    tries = Tries(call, call.body, call.core.models.deployments(request.model), falls_back=False)
    made = await while_there(call.receive, tries.made(ask))
    return Answer(499) if made is None else await _answered(call, made, packed=request.encoding_format == "base64")


async def _answered(call: Call, made: Made[Embeddings], *, packed: bool) -> Answer:
    found = made.answer
    usage = await made.end(msgspec.structs.replace(found.usage, output_tokens=0))
    tell_answered(call, made.way.target, usage, seconds=made.seconds, stream=False)
    say_cost(call, usage)
    return json_answer(embedding_list(found.vectors, model=found.model, tokens=found.usage.input_tokens, packed=packed))


DOORS = (
    Door(
        "POST", "/v1/embeddings", embed, "create_embedding", "Turn texts into vectors.", "OpenAI", "chat:write",
        bodies=(EmbeddingRequest,), raw=True, answers={200: EmbeddingList}, refusals=(402, 404, 409, 429, 502, 504), once=True,
    ),
)  # fmt: skip
