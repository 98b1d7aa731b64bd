"""What people do to a dead letter where it lies: change it, or leave no trace of it."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.clock import Moment
from perdure.messages.dead_letters import Edit, Edited, edited, not_dead
from perdure.messages.ids import write
from perdure.messages.message import Message, MessageId, State, View
from perdure.security.audit import Actor
from perdure.stores.sql.forget import forget
from perdure.stores.sql.places import Place, facts_of, find
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sql.views import Viewer

__all__ = ["change", "dead", "discard", "discard_into_nothing", "edit", "edits"]

_EDIT, _REROUTE = statement("letter_edit"), statement("letter_reroute")
_KEEP, _EDITS = statement("edit_add"), statement("edit_list")
_decode_fields = msgspec.json.Decoder(dict[str, Any]).decode


def edit(tx: Transaction, id: MessageId, said: Edit, tenant: str | None, by: Actor | None) -> View:
    """Change a dead letter, and keep what it was.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.
        said (Edit): What is to be different.
        tenant (str | None): Only if it is this tenant's.
        by (Actor | None): Who does it.

    Returns:
        View: As it is then.
    """
    place = dead(tx, id, tenant)
    if said.changes:
        change(tx, place, said, by)
    return Viewer(tx.run, tx.now).view(id)


def edits(run: Run, id: MessageId, tenant: str | None, now: Moment) -> list[Edited]:
    """List how a message was edited.

    Args:
        run (Run): Of a reader.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.
        now (Moment): The store's time.

    Returns:
        list[Edited]: Oldest first.
    """
    Viewer(run, now).view(id, tenant=tenant)
    return [Edited(at=at, who=who, before=_decode_fields(was), body=body) for at, who, was, body in run(_EDITS, (id,))]


def discard(tx: Transaction, id: MessageId, tenant: str | None, by: Actor | None) -> None:
    """Forget a dead letter with all it owns.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.
        by (Actor | None): Who does it.
    """
    place = dead(tx, id, tenant)
    tx.audit(by, "dead-letter.discard", write(id), agent=place.route.agent, queue=place.route.queue)
    discard_into_nothing(tx, [place])


def discard_into_nothing(tx: Transaction, places: list[Place]) -> None:
    """Forget dead letters with all they own: the one way there is, for one and for many.

    Args:
        tx (Transaction): What is being committed.
        places (list[Place]): They.
    """
    for place in places:
        tx.gone(place.route, State.DEAD, "discarded")
        tx.tell("message.discarded", **facts_of(tx, place, 0))
    forget(tx, [place.id for place in places])


def dead(tx: Transaction, id: MessageId, tenant: str | None) -> Place:
    """Find a dead letter.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.

    Returns:
        Place: It.

    Raises:
        NotFound: No such message (of this tenant).
        Conflict: It is no dead letter.
    """
    place, state = find(tx, id, tenant)
    if state is not State.DEAD:
        raise not_dead(id, state)
    return place


def change(tx: Transaction, place: Place, said: Edit, by: Actor | None) -> None:
    """Change a dead letter, and keep what it was.

    Args:
        tx (Transaction): What is being committed.
        place (Place): It.
        said (Edit): What is to be different.
        by (Actor | None): Who does it.
    """
    before = Viewer(tx.run, tx.now).view(MessageId(place.id)).message
    after = edited(before, said)
    was = said.kept_of(before)
    changed, body = sorted(was), was.pop("body", None)
    who = "" if by is None else by.who
    tx.run(_KEEP, (place.id, tx.now, who, msgspec.json.encode(was), body))
    _write(tx, place, after)
    tx.audit(by, "dead-letter.edit", write(before.id), changed=changed)


def _write(tx: Transaction, place: Place, after: Message) -> None:
    route = tx.names.route((after.queue, after.agent, after.version, after.lane, 0), patience_s=after.max_wait_s, now=tx.now)
    metadata = msgspec.json.encode(after.metadata) if after.metadata else None
    numbers = (after.priority, after.attempts, after.timeout_s, after.deadline, after.max_wait_s)
    tx.run(_EDIT, (place.id, route.id, *numbers, metadata, after.body))
    if route.id != place.route.id:
        tx.run(_REROUTE, (place.id, route.id))
