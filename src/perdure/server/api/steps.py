"""The steps of a message's run, and decisions on those whose outcome is unknown."""

from __future__ import annotations

import msgspec

from perdure.agents.journal import Decision
from perdure.errors.base import InvalidInput
from perdure.server.answer import Answer, json_answer
from perdure.server.answers import MessageJson, StepJson
from perdure.server.asks import Decide
from perdure.server.door import Call, Door
from perdure.server.listings import Listing

_PART = "Runs"

__all__ = ["DOORS"]


async def list_steps(call: Call) -> Answer:
    """List the steps of a run.

    Args:
        call (Call): For the message in its path.

    Returns:
        Answer: 200 with a list, by number.
    """
    # The journal knows no tenants: the message is asked for first.
    view = await call.core.store.messages.get(call.message_id, tenant=call.tenant)
    steps = await call.core.store.journal.steps(view.message.id)
    return json_answer(Listing(data=[StepJson.of(step) for step in steps]))


async def decide(call: Call) -> Answer:
    """Take a person's word for what became of a step.

    Args:
        call (Call): With a `Decide`.

    Returns:
        Answer: 200 with the message as it is then.
    """
    said: Decide = call.body
    decision = Decision(said.decision)
    if said.result is not None and decision is not Decision.HAPPENED:
        problem = f"result: a call that is decided as {decision.value!r} has no result"
        raise InvalidInput(problem, problems=[problem], hint="Leave `result` out.")
    result = msgspec.json.encode(said.result) if decision is Decision.HAPPENED else None
    store = call.core.store
    await store.journal.decide(call.message_id, call.number("number"), decision, by=call.key.id, result=result, tenant=call.tenant)
    return json_answer(MessageJson.of(await store.messages.get(call.message_id, tenant=call.tenant)))


DOORS = (
    Door(
        "GET", "/api/v1/messages/{id}/steps", list_steps, "list_steps", "List the steps of a message's run.", _PART, "steps:read",
        answers={200: Listing[StepJson]}, refusals=(404,),
    ),
    Door(
        "POST", "/api/v1/messages/{id}/steps/{number}/decision", decide, "decide",
        "Say what became of a call whose outcome is unknown.", _PART, "steps:decide",
        bodies=(Decide,), answers={200: MessageJson}, refusals=(404, 409),
    ),
)  # fmt: skip
