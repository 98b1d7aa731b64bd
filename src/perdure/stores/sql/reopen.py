"""What people and programs do to a message: cancel it, revive it."""

from __future__ import annotations

from perdure.clock import Moment
from perdure.errors.base import Conflict
from perdure.messages.dead import beyond_revival
from perdure.messages.dead_letters import Edit
from perdure.messages.ids import write
from perdure.messages.message import ENDS, MessageId, Move, State, View, Wait, after
from perdure.security.audit import Actor
from perdure.stores.sql import kin, letters
from perdure.stores.sql.admission import enter_ready, leave
from perdure.stores.sql.endings import cancel_idle
from perdure.stores.sql.places import Place, enter_wait, facts_of, find, place_of, state_of
from perdure.stores.sql.progress import keep_progress, progress_of
from perdure.stores.sql.sessions import join
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sql.views import Viewer

__all__ = ["cancel", "refusal", "revive", "revive_into"]

_ENDED, _CALL_OFF, _CHILDREN = statement("outcome_of_dead"), statement("lease_call_off"), statement("child_list")


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


def revive(tx: Transaction, id: MessageId, tenant: str | None, change: Edit | None, by: Actor | None) -> View:
    """Give a dead letter another life.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.
        change (Edit | None): What is to be different about it first.
        by (Actor | None): Who does it.

    Returns:
        View: As it is then.

    Raises:
        Conflict: It is no dead letter, or its deadline has passed.
    """
    place = letters.dead(tx, id, tenant)
    if change is not None and change.changes:
        letters.change(tx, place, change, by)
        place = letters.dead(tx, id, tenant)
    if (no := refusal(place, tx.now)) is not None:
        raise no
    revive_into(tx, place, None)
    tx.audit(by, "dead-letter.revive", write(id))
    return Viewer(tx.run, tx.now).view(id)


def refusal(place: Place, at: Moment) -> Conflict | None:
    """Say why a dead letter cannot live again.

    Args:
        place (Place): It.
        at (Moment): When it would begin to.

    Returns:
        Conflict | None: None if nothing stands against it.
    """
    return beyond_revival(MessageId(place.id), place.deadline, at)


def revive_into(tx: Transaction, place: Place, at: Moment | None) -> None:
    """Let a dead letter live again: the one way there is, for one and for many.

    Args:
        tx (Transaction): What is being committed.
        place (Place): It.
        at (Moment | None): From when on; None is at once.
    """
    before = progress_of(tx.run, place.id)
    started_at, usage = tx.run(_ENDED, (place.id,)).fetchone()
    move = Move.REVIVE if at is None else Move.RECALL
    leave(tx, place, State.DEAD, 0)
    again = before._replace(used=0, crashes=0, revived=before.revived + 1, started_at=started_at, waiting_since=None, usage=usage)
    keep_progress(tx, place.id, again)
    new = _revived(tx, place, at)
    tx.move(place.id, place.route, State.DEAD, move, facts_of(tx, place, 0), held=new is State.HELD)
    kin.revived(tx, place)


def _revived(tx: Transaction, place: Place, at: Moment | None) -> State:
    if not join(tx, place, place.route, turn=tx.number(), due_at=at):
        return State.HELD
    if at is None:
        return enter_ready(tx, place, 0)
    enter_wait(tx, place, Wait(why="paced", until=at), None)
    return State.LATER
