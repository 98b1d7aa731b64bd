"""Dead letters: list, show, revive."""

from __future__ import annotations

from perdure.errors.base import NotFound
from perdure.messages.message import State
from perdure.messages.store import Filter
from perdure.server.answer import Answer, json_answer
from perdure.server.answers import AttemptJson, DeadLetterJson, MessageJson
from perdure.server.api.edits import edit_of
from perdure.server.api.messages import page_of
from perdure.server.asks import DeadLettersQuery
from perdure.server.door import Call, Door
from perdure.server.listings import PageOf
from perdure.server.orders import EditLetter

_PART = "Dead letters"

__all__ = ["DOORS"]


async def list_dead_letters(call: Call) -> Answer:
    """List dead letters, those put last first.

    Args:
        call (Call): With a `DeadLettersQuery`.

    Returns:
        Answer: 200 with a page.
    """
    query: DeadLettersQuery = call.query
    wanted = Filter(tenant=call.tenant, state=State.DEAD, queue=query.queue, agent=query.agent, code=query.code)
    return json_answer(await page_of(call, wanted, limit=query.limit, cursor=query.cursor))


async def show(call: Call) -> Answer:
    """Show a dead letter with all that went wrong.

    Args:
        call (Call): For the message in its path.

    Returns:
        Answer: 200 with the message and its log of attempts.
    """
    messages = call.core.store.messages
    view = await messages.get(call.message_id, tenant=call.tenant)
    if view.state is not State.DEAD:
        raise NotFound(
            f"{call.path['id']!r} is no dead letter: it is {view.state.value!r}", hint=f"See it at /api/v1/messages/{call.path['id']}."
        )
    log = [AttemptJson.of(attempt) for attempt in await messages.attempts(view.message.id)]
    return json_answer(DeadLetterJson.of(view, attempts_log=log))


async def revive(call: Call) -> Answer:
    """Give a dead letter another life, perhaps with changes.

    Args:
        call (Call): For the message in its path, perhaps with an `EditLetter`.

    Returns:
        Answer: 200 with the message as it is now.
    """
    messages, change = call.core.store.messages, None
    if call.body is not None:
        view = await messages.get(call.message_id, tenant=call.tenant)
        change = await edit_of(call, view.message, call.body, call.body.body)
    return json_answer(MessageJson.of(await messages.revive(call.message_id, tenant=call.tenant, edit=change, by=call.actor)))


DOORS = (
    Door(
        "GET", "/api/v1/dead-letters", list_dead_letters, "list_dead_letters", "List dead letters, those put last first.", _PART,
        "dead-letters:read", query=DeadLettersQuery, answers={200: PageOf[MessageJson]},
    ),
    Door(
        "GET", "/api/v1/dead-letters/{id}", show, "get_dead_letter", "Show a dead letter with every attempt's error.", _PART,
        "dead-letters:read", answers={200: DeadLetterJson}, refusals=(404,),
    ),
    Door(
        "POST", "/api/v1/dead-letters/{id}/revive", revive, "revive",
        "Give a dead letter another life, its journal kept; what a body says is changed first.", _PART, "dead-letters:write",
        bodies=(EditLetter,), optional=True, answers={200: MessageJson}, refusals=(404, 409),
    ),
)  # fmt: skip
