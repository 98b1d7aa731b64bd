"""Calling messages off."""

from __future__ import annotations

from perdure.messages.ids import write
from perdure.messages.message import ENDS, MessageId, Move, State, View, after
from perdure.security.audit import Actor
from perdure.stores.sql.endings import cancel_idle
from perdure.stores.sql.places import Place, facts_of, find, place_of, state_of
from perdure.stores.sql.progress import progress_of
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sql.views import Viewer

__all__ = ["cancel"]

_CALL_OFF, _CHILDREN = statement("lease_call_off"), statement("child_list")


def cancel(tx: Transaction, id: MessageId, tenant: str | None, *, children: bool, by: Actor | None = None) -> View:
    """Call off a message: at once, or by a mark if it runs.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.
        children (bool): Also what it has sent and has not ended.
        by (Actor | None): Who does it.

    Returns:
        View: As it is then.

    Raises:
        Conflict: It has ended otherwise.
    """
    place, state = find(tx, id, tenant)
    if state in ENDS and state is not State.CANCELLED:
        after(state, Move.CANCEL)
    if _cancel(tx, place, state):
        tx.audit(by, "message.cancel", write(id))
    if children:
        _cancel_all_below(tx, place)
    return Viewer(tx.run, tx.now).view(id)


def _cancel_all_below(tx: Transaction, place: Place) -> None:
    above = [place.id]
    while above:
        for (child,) in tx.run(_CHILDREN, (above.pop(),)).fetchall():
            below = place_of(tx, child)
            if below is not None:
                above.append(child)
                _cancel(tx, below, state_of(tx.run, child))


def _cancel(tx: Transaction, place: Place, state: State) -> bool:
    """Tell whether there was anything to call off."""
    if state in ENDS:
        return False
    if state is not State.LEASED:
        cancel_idle(tx, place, state)
        return True
    if tx.run(_CALL_OFF, (tx.now, place.id)).fetchone() is None:
        return False
    tx.noted(place.id, place.route, state)
    tx.tell("message.cancelling", **facts_of(tx, place, progress_of(tx.run, place.id).used + 1))
    return True
