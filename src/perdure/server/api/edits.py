"""One dead letter changed: checked as in a put, with what it was before kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from perdure.messages.dead_letters import Edit
from perdure.messages.message import Message
from perdure.messages.terms import max_cost_of, put_by, refuse_reserved, with_terms
from perdure.server.answer import Answer, json_answer
from perdure.server.answers import MessageJson
from perdure.server.asks import PutMessage
from perdure.server.door import Call, Door
from perdure.server.listings import Listing
from perdure.server.moments import moment_of
from perdure.server.orders import EditLetter, EditMany
from perdure.server.reports import DiscardedJson, EditedJson

_PART = "Dead letters"

__all__ = ["DOORS", "edit_of"]


async def edit(call: Call) -> Answer:
    """Change a dead letter.

    Args:
        call (Call): With an `EditLetter`.

    Returns:
        Answer: 200 with the letter as it is now, still dead.
    """
    store = call.core.store
    view = await store.messages.get(call.message_id, tenant=call.tenant)
    change = await edit_of(call, view.message, call.body, call.body.body)
    return json_answer(MessageJson.of(await store.dead_letters.edit(call.message_id, change, tenant=call.tenant, by=call.actor)))


async def edits(call: Call) -> Answer:
    """List how a message was edited.

    Args:
        call (Call): For the message in its path.

    Returns:
        Answer: 200 with a list, oldest first.
    """
    found = await call.core.store.dead_letters.edits(call.message_id, tenant=call.tenant)
    return json_answer(Listing(data=[EditedJson.of(one) for one in found]))


async def discard(call: Call) -> Answer:
    """Forget a dead letter.

    Args:
        call (Call): For the message in its path.

    Returns:
        Answer: 200.
    """
    await call.core.store.dead_letters.discard(call.message_id, tenant=call.tenant, by=call.actor)
    return json_answer(DiscardedJson(id=call.path["id"].lower()))


async def edit_of(call: Call, message: Message, said: EditLetter | EditMany, body: Any | UnsetType) -> Edit:
    """Check what is said and make an edit of it.

    Args:
        call (Call): Who edits.
        message (Message): What is edited.
        said (EditLetter | EditMany): What is to be different.
        body (Any | UnsetType): The new body, if there is one.

    Returns:
        Edit: For the store.

    Raises:
        InvalidInput: The body does not have the agent's shape.
    """
    lane: str | UnsetType | None = UNSET
    encoded: bytes | UnsetType = UNSET
    if body is not UNSET:
        asked = PutMessage(agent=message.agent, body=body, tenant=message.tenant)
        [checked] = await call.core.admission.admit([asked], key=call.key)
        encoded, lane = checked.body, checked.lane
    return Edit(
        body=encoded,
        lane=lane,
        deadline=UNSET if isinstance(said.deadline, UnsetType) else moment_of("deadline", said.deadline),
        priority=said.priority,
        attempts=said.attempts,
        timeout_s=said.timeout_s,
        max_wait_s=said.max_wait_s,
        version=said.version,
        metadata=UNSET if isinstance(said.metadata, UnsetType) else _with_its_terms(said.metadata, message),
    )


def _with_its_terms(metadata: Mapping[str, str], message: Message) -> dict[str, str]:
    refuse_reserved(metadata)
    return with_terms(metadata, by=put_by(message.metadata), max_cost_usd=max_cost_of(message.metadata))


DOORS = (
    Door(
        "PATCH", "/api/v1/dead-letters/{id}", edit, "edit_dead_letter", "Change a dead letter; what it was before is kept.", _PART,
        "dead-letters:write", bodies=(EditLetter,), answers={200: MessageJson}, refusals=(404, 409),
    ),
    Door(
        "GET", "/api/v1/dead-letters/{id}/edits", edits, "list_edits", "List how a message was edited.", _PART, "dead-letters:read",
        answers={200: Listing[EditedJson]}, refusals=(404,),
    ),
    Door(
        "DELETE", "/api/v1/dead-letters/{id}", discard, "discard", "Forget a dead letter with its journal.", _PART, "dead-letters:write",
        answers={200: DiscardedJson}, refusals=(404, 409),
    ),
)  # fmt: skip
