"""What people and programs do to a message that nobody holds: cancel it, revive it."""

from __future__ import annotations

from perdure.errors.base import Conflict, NotYetBuilt
from perdure.messages.dead import beyond_revival
from perdure.messages.ids import write
from perdure.messages.message import MessageId, Move, State, View
from perdure.stores.sql.places import end, enter_ready, facts_of, find, leave
from perdure.stores.sql.progress import keep_progress, progress_of
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sql.views import Viewer

__all__ = ["cancel", "revive"]

_ENDED = statement("outcome_of_dead")


def cancel(tx: Transaction, id: MessageId, tenant: str | None) -> View:
    """Call off a message that is not running.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.

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
    return Viewer(tx.run, tx.now).view(id)


def revive(tx: Transaction, id: MessageId, tenant: str | None) -> View:
    """Give a dead letter another life.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.

    Returns:
        View: As it is then.

    Raises:
        Conflict: It is no dead letter, or its deadline has passed.
    """
    place, state = find(tx, id, tenant)
    if state is not State.DEAD:
        raise Conflict(f"message {write(id)!r} is {state.value}, no dead letter")
    if (refusal := beyond_revival(id, place.deadline, tx.now)) is not None:
        raise refusal
    before = progress_of(tx.run, id)
    started_at, usage = tx.run(_ENDED, (id,)).fetchone()
    tx.move(id, place.route, state, Move.REVIVE, facts_of(tx, place, 0))
    leave(tx, place, state, 0)
    again = before._replace(used=0, crashes=0, revived=before.revived + 1, started_at=started_at, waiting_since=None, usage=usage)
    keep_progress(tx, id, again)
    enter_ready(tx, place, 0)
    return Viewer(tx.run, tx.now).view(id)
