"""Where a message can lie, and how it gets in and out of there.

Each state but the ends has a table, and a message has its row in exactly one of them. Functions here
write that row and nothing else but the moments at which somebody must look at the message again; that
it moved, and what that means, their callers note with `Transaction.move`. How it becomes ready or held,
`admission.py` says; how it ends, `ends.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts, NotFound
from perdure.messages.dead import QUARANTINE_AT
from perdure.messages.ids import write
from perdure.messages.message import MessageId, OnDead, State, Wait
from perdure.stores.sql.names import RouteRow
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["Place", "enter_wait", "entry_of", "facts_of", "find", "known_place", "place_of", "state_of", "watch_deadline"]

_PLACE, _STATE, _WATCH = statement("place_get"), statement("state_get"), statement("expiry_add")
_LATER, _WAITING = statement("later_add"), statement("waiting_add")


class Place(NamedTuple):
    """What has to be known of a message to move it."""

    id: int
    route: RouteRow
    """The route it was put on; where it lies ready may be that one's quarantine."""
    tenant: int
    priority: int
    deadline: Moment | None
    max_wait_s: float
    parent: int | None = None
    """Whose run sent it."""
    group: int | None = None
    session: str | None = None
    on_dead: OnDead = "continue"
    key: str | None = None
    cost: int = 1


def find(tx: Transaction, id: MessageId, tenant: str | None) -> tuple[Place, State]:
    """Find a message and where it lies.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.

    Returns:
        tuple[Place, State]: It.

    Raises:
        NotFound: No such message (of this tenant).
    """
    place = place_of(tx, id)
    if place is None or tenant not in (None, tx.names.tenant_name(place.tenant)):
        raise NotFound(f"there is no message {write(id)!r}", hint="Ids are shown by `perdure messages`.")
    return place, state_of(tx.run, id)


def place_of(tx: Transaction, id: int) -> Place | None:
    """Read what has to be known to move a message.

    Args:
        tx (Transaction): What is being committed.
        id (int): Which.

    Returns:
        Place | None: None if there is no such message.
    """
    row = tx.run(_PLACE, (id,)).fetchone()
    return None if row is None else Place(id, tx.names.route_by_id(row[0]), *row[1:])


def known_place(tx: Transaction, id: int) -> Place:
    """Read what has to be known to move a message that is there.

    Args:
        tx (Transaction): What is being committed.
        id (int): Which.

    Returns:
        Place: It.

    Raises:
        LookupError: It is not there: whatever named it was wrong.
    """
    place = place_of(tx, id)
    if place is None:
        raise LookupError(f"message {id} is named by another row and is not there")
    return place


def state_of(run: Run, id: int) -> State:
    """Tell where a message lies that exists.

    Args:
        run (Run): Of a reader or a transaction.
        id (int): Which.

    Returns:
        State: Where.
    """
    return State(run(_STATE, (id,)).get)


def entry_of(tx: Transaction, place: Place, crashes: int) -> RouteRow:
    """Tell on which route a message lies ready.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        crashes (int): Two or more send it into quarantine.

    Returns:
        RouteRow: Its own, or that one's quarantine.
    """
    if crashes < QUARANTINE_AT:
        return place.route
    return tx.names.route((*place.route[1:5], 1), patience_s=place.max_wait_s, now=tx.now)


def watch_deadline(tx: Transaction, place: Place) -> None:
    """Note when somebody must look at a message because of its deadline.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
    """
    if place.deadline is not None:
        tx.run(_WATCH, ("deadline", place.deadline, place.id))


def enter_wait(tx: Transaction, place: Place, wait: Wait, waiting_since: Moment | None) -> None:
    """Let a message wait, for a moment or for what it says.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        wait (Wait): For what.
        waiting_since (Moment | None): Since when it has been in waits without a stated end.
    """
    text = msgspec.json.encode(wait)
    if wait.until is None or wait.events:
        tx.run(_WAITING, (place.id, place.route.id, place.tenant, text, wait.until))
    else:
        tx.run(_LATER, (place.id, place.route.id, place.tenant, wait.until, text))
    if waiting_since is not None:
        tx.run(_WATCH, ("patience", waiting_since + place.max_wait_s, place.id))
    watch_deadline(tx, place)


def facts_of(tx: Transaction, place: Place, attempt: int, error: ErrorFacts | None = None) -> dict[str, Any]:
    """Say what is told of a message that moves.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        attempt (int): Attempts used, the one under way included.
        error (ErrorFacts | None): What it has to do with.

    Returns:
        dict[str, Any]: The facts of the event.
    """
    return {
        "message": place.id,
        "agent": place.route.agent,
        "queue": place.route.queue,
        "tenant": tx.names.tenant_name(place.tenant),
        "attempt": attempt,
        "code": None if error is None else error.code,
    }
