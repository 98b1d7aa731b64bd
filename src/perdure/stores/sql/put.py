"""Accepting messages."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.errors.base import DedupConflict, NotYetBuilt
from perdure.messages.message import MessageId, NewMessage, Receipt, State
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["put", "size_of"]

_MESSAGE, _READY, _LATER, _WATCH = (statement(name) for name in ("message_add", "ready_add", "later_add", "expiry_add"))
_KNOWN, _DEDUP, _FIRST_BODY = statement("dedup_find"), statement("dedup_add"), statement("edit_first_body")


def size_of(messages: Sequence[NewMessage]) -> int:
    """Tell roughly how much some messages will write.

    Args:
        messages (Sequence[NewMessage]): What is to be put.

    Returns:
        int: Bytes.
    """
    return sum(len(new.body) for new in messages)


def put(tx: Transaction, messages: Sequence[NewMessage]) -> list[Receipt]:
    """Accept messages, all or none.

    Args:
        tx (Transaction): What is being committed.
        messages (Sequence[NewMessage]): Which.

    Returns:
        list[Receipt]: One for each.

    Raises:
        NotYetBuilt: One has a session.
    """
    if any(new.session is not None for new in messages):
        raise NotYetBuilt("sessions are not built yet", hint="Put the message without `session`.")
    return [_accept(tx, new) for new in messages]


def _accept(tx: Transaction, new: NewMessage) -> Receipt:
    tenant = tx.names.tenant(new.tenant)
    if new.dedup_key is not None:
        known = tx.run(_KNOWN, (tenant, new.dedup_key)).fetchone()
        if known is not None:
            return _again(tx, new, *known)
    number = tx.number()
    if new.dedup_key is not None:
        tx.run(_DEDUP, (tenant, new.dedup_key, number))
    _lay_down(tx, new, number, tenant)
    return Receipt(MessageId(number))


def _again(tx: Transaction, new: NewMessage, id: int, agent: str, body: bytes) -> Receipt:
    if agent != new.agent or new.body not in (body, tx.run(_FIRST_BODY, (id,)).get):  # it may have been edited since
        raise DedupConflict(f"the key {new.dedup_key!r} came before with another body or agent", hint="Use a key once per request.")
    return Receipt(MessageId(id), duplicate=True)


def _lay_down(tx: Transaction, new: NewMessage, id: int, tenant: int) -> None:
    route = tx.names.route((new.queue, new.agent, new.version, new.lane, 0), patience_s=new.max_wait_s, now=tx.now)
    head = (id, tenant, route.id, new.priority, new.attempts, tx.now, new.timeout_s, new.deadline, new.max_wait_s)
    metadata = msgspec.json.encode(new.metadata) if new.metadata else None
    tx.run(_MESSAGE, (*head, new.session, new.parent, new.dedup_key, metadata, new.body))
    state = State.READY
    if new.due_at is not None and new.due_at > tx.now:
        state = State.LATER
        tx.run(_LATER, (id, route.id, tenant, new.due_at, None))
    else:
        tx.run(_READY, (route.id, new.priority, id, id, tenant, tx.now))
    if new.deadline is not None:
        tx.run(_WATCH, ("deadline", new.deadline, id))
    facts = {"message": id, "agent": new.agent, "queue": new.queue, "tenant": new.tenant, "attempt": 0, "code": None}
    tx.born(id, route, state, facts)
