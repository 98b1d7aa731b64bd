"""`/v1/models`: who can be asked."""

from __future__ import annotations

from perdure.errors.base import UnknownModel
from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.wire.answers import ModelList, ModelRow, model_list

__all__ = ["DOORS"]


async def list_models(call: Call) -> Answer:
    """List the models there are, aliases among them.

    Args:
        call (Call): Who asks.

    Returns:
        Answer: 200 with a list.
    """
    return json_answer(model_list(call.core.models.names()))


async def get_model(call: Call) -> Answer:
    """Show one model.

    Args:
        call (Call): For the model in its path.

    Returns:
        Answer: 200 with it.
    """
    name = call.path["model"]
    if not name:
        raise UnknownModel("no model is named", hint="All models are at GET /v1/models.")
    call.core.models.resolve(name)
    return json_answer(model_list([name])["data"][0])


DOORS = (
    Door("GET", "/v1/models", list_models, "list_models", "List the models there are.", "OpenAI", "models:read", answers={200: ModelList}),
    Door("GET", "/v1/models/{model:path}", get_model, "get_model", "Show one model.", "OpenAI", "models:read",
         answers={200: ModelRow}, refusals=(404,)),
)  # fmt: skip
