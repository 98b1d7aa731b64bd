"""What people and programs do to a message that nobody holds: cancel it, revive it."""

from __future__ import annotations

from perdure.clock import Moment
from perdure.errors.base import Conflict, NotYetBuilt
from perdure.messages.dead import beyond_revival
from perdure.messages.dead_letters import Edit
from perdure.messages.ids import write
from perdure.messages.message import MessageId, Move, State, View, Wait
from perdure.security.audit import Actor
from perdure.stores.sql import letters
from perdure.stores.sql.places import Place, end, enter_ready, enter_wait, facts_of, find, leave
from perdure.stores.sql.progress import keep_progress, progress_of
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sql.views import Viewer

__all__ = ["cancel", "refusal", "revive", "revive_into"]

_ENDED = statement("outcome_of_dead")


def cancel(tx: Transaction, id: MessageId, tenant: str | None, by: Actor | None = None) -> View:
    """Call off a message that is not running.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.
        by (Actor | None): Who does it.

    Returns:
        View: As it is then.

    Raises:
        NotYetBuilt: It is running.
    """
    place, state = find(tx, id, tenant)
    if state is State.LEASED:
        raise NotYetBuilt("a running message cannot be cancelled yet", hint="Wait until it has ended, or pause its queue.")
    if state is not State.CANCELLED:
        progress = progress_of(tx.run, id)
        new = tx.move(id, place.route, state, Move.CANCEL, facts_of(tx, place, progress.used))
        leave(tx, place, state, progress.crashes)
        end(tx, place, new, used=progress.used, started_at=progress.started_at)
        tx.audit(by, "message.cancel", write(id))
    return Viewer(tx.run, tx.now).view(id)


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
    tx.move(place.id, place.route, State.DEAD, move, facts_of(tx, place, 0))
    leave(tx, place, State.DEAD, 0)
    again = before._replace(used=0, crashes=0, revived=before.revived + 1, started_at=started_at, waiting_since=None, usage=usage)
    keep_progress(tx, place.id, again)
    if at is None:
        enter_ready(tx, place, 0)
    else:
        enter_wait(tx, place, Wait(why="paced", until=at), None)
