"""The steps of a message's run, and decisions on those whose outcome is unknown."""

from __future__ import annotations

import msgspec

from perdure.agents.journal import Decision
from perdure.errors.base import InvalidInput
from perdure.server.answer import Answer, json_answer
from perdure.server.answers import MessageJson, StepJson
from perdure.server.asks import Decide, StepsQuery
from perdure.server.door import Call, Door
from perdure.server.listings import PageOf

_PART = "Runs"
_PAGE_BYTES = 16 * 1024 * 1024

__all__ = ["DOORS"]


async def list_steps(call: Call) -> Answer:
    """List the steps of a run.

    Args:
        call (Call): For the message in its path.

    Returns:
        Answer: 200 with a page, by number: large ones end early, since each request says the whole conversation again.
    """
    # The journal knows no tenants: the message is asked for first.
    view = await call.core.store.messages.get(call.message_id, tenant=call.tenant)
    query: StepsQuery = call.query
    journal = call.core.store.journal
    steps = await journal.steps(view.message.id, shown=query.requests, after=query.cursor, most_bytes=_PAGE_BYTES)
    size = sum(len(step.request or b"") + len(step.result or b"") for step in steps)
    more = str(steps[-1].number) if size >= _PAGE_BYTES else None
    return json_answer(PageOf(data=[StepJson.of(step) for step in steps], next_cursor=more))


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
        query=StepsQuery, answers={200: PageOf[StepJson]}, refusals=(404,),
    ),
    Door(
        "POST", "/api/v1/messages/{id}/steps/{number}/decision", decide, "decide",
        "Say what became of a call whose outcome is unknown.", _PART, "steps:decide",
        bodies=(Decide,), answers={200: MessageJson}, refusals=(404, 409),
    ),
)  # fmt: skip
