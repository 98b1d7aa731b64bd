"""Accepting messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from perdure.clock import Moment
from perdure.errors.base import DedupConflict
from perdure.events import heard
from perdure.messages.groups import NewGroup, wait_for_group
from perdure.messages.message import GroupId, MessageId, NewMessage, Receipt, State, Wait
from perdure.messages.order import in_ancestors_session, join_in_session
from perdure.stores.sql import groups
from perdure.stores.sql.admission import enter_ready
from perdure.stores.sql.places import Place, facts_of, known_place, watch_deadline
from perdure.stores.sql.progress import Progress, keep_progress
from perdure.stores.sql.sessions import join
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["put", "put_as", "size_of"]

_MESSAGE, _BOUND, _LATER, _WATCH = (statement(name) for name in ("message_add", "bound_add", "later_add", "expiry_add"))
_GROUP = statement("message_group")
_READY = statement("ready_add")
_KNOWN, _DEDUP, _FIRST_BODY, _WAITING = (statement(n) for n in ("dedup_find", "dedup_add", "edit_first_body", "waiting_add"))


def size_of(messages: Sequence[NewMessage]) -> int:
    """Tell roughly how much some messages will write.

    Args:
        messages (Sequence[NewMessage]): What is to be put.

    Returns:
        int: Bytes.
    """
    return sum(len(new.body) for new in messages)


def put(tx: Transaction, messages: Sequence[NewMessage], group: NewGroup | GroupId | None = None) -> list[Receipt]:
    """Accept messages, all or none.

    Args:
        tx (Transaction): What is being committed.
        messages (Sequence[NewMessage]): Which.
        group (NewGroup | GroupId | None): Into which.

    Returns:
        list[Receipt]: One for each.
    """
    if group is None:
        return [_accept(tx, new) for new in messages]
    return _put_together(tx, messages, group)


def _put_together(tx: Transaction, messages: Sequence[NewMessage], group: NewGroup | GroupId) -> list[Receipt]:
    tenant, known = messages[0].tenant, _known_group(tx, messages[0])
    if known is not None:  # the same put again, whose answer was lost: what it did stands
        number = known
    elif isinstance(group, NewGroup):
        number = GroupId(tx.number())
        then = group.then
        if then is not None and then.session is not None:
            raise join_in_session(then.session)
        join = None if then is None else _accept(tx, then, group=number, waits=wait_for_group(number))
        groups.begin(tx, number, group, tx.names.tenant(tenant), None if join is None or join.duplicate else join.id)
    else:
        number = group
        groups.open_group(tx, number, tenant)
    receipts = [_accept(tx, new, group=number) for new in messages]
    groups.add_members(tx, number, [receipt.id for receipt in receipts if not receipt.duplicate])
    return receipts


def _known_group(tx: Transaction, first: NewMessage) -> GroupId | None:
    if first.dedup_key is None:
        return None
    known = tx.run(_KNOWN, (tx.names.tenant(first.tenant), first.dedup_key)).fetchone()
    return None if known is None else tx.run(_GROUP, (known[0],)).get


def put_as(tx: Transaction, new: NewMessage, number: int) -> Receipt:
    """Accept a message whose id was drawn before.

    Args:
        tx (Transaction): What is being committed.
        new (NewMessage): Which.
        number (int): Its id.

    Returns:
        Receipt: With another id if its key had brought a message before; nothing is written then.
    """
    return _accept(tx, new, number=number)


def _accept(
    tx: Transaction, new: NewMessage, *, number: int | None = None, group: GroupId | None = None, waits: Wait | None = None
) -> Receipt:
    tenant = tx.names.tenant(new.tenant)
    if new.dedup_key is not None:
        known = tx.run(_KNOWN, (tenant, new.dedup_key)).fetchone()
        if known is not None:
            return _again(tx, new, *known)
    number = tx.number() if number is None else number
    if new.dedup_key is not None:
        tx.run(_DEDUP, (tenant, new.dedup_key, number))
    _lay_down(tx, new, number, group=group, waits=waits)
    return Receipt(MessageId(number), group=group)


def _again(tx: Transaction, new: NewMessage, id: int, agent: str, body: bytes) -> Receipt:
    if agent != new.agent or new.body not in (body, tx.run(_FIRST_BODY, (id,)).get):  # it may have been edited since
        raise DedupConflict(f"the key {new.dedup_key!r} came before with another body or agent", hint="Use a key once per request.")
    return Receipt(MessageId(id), duplicate=True, group=tx.run(_GROUP, (id,)).get)


def _lay_down(tx: Transaction, new: NewMessage, id: int, *, group: GroupId | None, waits: Wait | None) -> None:
    tenant = tx.names.tenant(new.tenant)
    route = tx.names.route((new.queue, new.agent, new.version, new.lane, 0), patience_s=new.max_wait_s, now=tx.now)
    head = (id, tenant, route.id, new.priority, new.attempts, tx.now, new.timeout_s, new.deadline, new.max_wait_s)
    metadata = msgspec.json.encode(new.metadata) if new.metadata else None
    tx.run(_MESSAGE, (*head, new.session, new.parent, group, new.dedup_key, metadata, new.body))
    if new.session is not None or new.key is not None or new.cost != 1:
        tx.run(_BOUND, (id, new.on_dead, new.key, new.cost))
    if waits is None and new.due_at is None and new.session is None and new.deadline is None and not tx.gates.rule():
        tag = tx.tags.fresh(route.id, tenant, new.priority, new.cost)  # nothing but its turn decides: nearly all messages
        tx.run(_READY, (route.id, new.priority, tag, id, tenant, tx.now, None))
        tx.born(id, route, State.READY, _facts(id, new) if heard("message.put") else None)
        return
    bounds = (new.deadline, new.max_wait_s, new.parent, group, new.session, new.on_dead, new.key, new.cost)
    place = Place(id, route, tenant, new.priority, *bounds)
    state = _wait(tx, place, waits) if waits is not None else _enter(tx, place, new.due_at)
    tx.born(id, route, state, facts_of(tx, place, 0))


def _facts(id: int, new: NewMessage) -> dict[str, Any]:
    return {"message": id, "agent": new.agent, "queue": new.queue, "tenant": new.tenant, "attempt": 0, "code": None}


def _wait(tx: Transaction, place: Place, waits: Wait) -> State:
    tx.run(_WAITING, (place.id, place.route.id, place.tenant, msgspec.json.encode(waits), None))
    tx.run(_WATCH, ("patience", tx.now + place.max_wait_s, place.id))
    keep_progress(tx, place.id, Progress(waiting_since=tx.now))
    watch_deadline(tx, place)
    return State.WAITING


def _enter(tx: Transaction, place: Place, due_at: Moment | None) -> State:
    if place.session is not None and place.parent is not None:
        _refuse_ancestors(tx, place.session, place.parent)
    due_at = due_at if due_at is not None and due_at > tx.now else None
    if not join(tx, place, place.route, turn=place.id, due_at=due_at):
        return State.HELD
    if due_at is None:
        return enter_ready(tx, place, 0, fresh=True)
    tx.run(_LATER, (place.id, place.route.id, place.tenant, due_at, None))
    watch_deadline(tx, place)
    return State.LATER


def _refuse_ancestors(tx: Transaction, session: str, parent: int | None) -> None:
    while parent is not None:
        above = known_place(tx, parent)
        if above.session == session:
            raise in_ancestors_session(session)
        parent = above.parent
