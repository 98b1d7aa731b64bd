"""Another life for dead letters: one, or a bite of many, by the same way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Conflict
from perdure.messages.dead import beyond_revival
from perdure.messages.dead_letters import Edit
from perdure.messages.ids import write
from perdure.messages.message import MessageId, Move, State, View, Wait
from perdure.security.audit import Actor
from perdure.stores.sql import kin, letters
from perdure.stores.sql.admission import enter_ready
from perdure.stores.sql.forget import ids_text
from perdure.stores.sql.places import Place, facts_of, watch_deadline
from perdure.stores.sql.progress import Progress
from perdure.stores.sql.sessions import join
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sql.views import Viewer

__all__ = ["Letter", "letters_of", "refusal", "revive", "revive_all"]

_DEAD, _LEAVE, _KEEP = statement("letters_dead"), statement("outcome_leave"), statement("progress_set")
_LATER = statement("later_add")
_PLACE = 12
"""So many columns of `letters_dead` are a place."""


class Letter(NamedTuple):
    """A dead letter, with all that has to be known to let it live again."""

    place: Place
    progress: Progress


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
    [letter] = letters_of(tx, [id])
    if (no := refusal(letter.place, tx.now)) is not None:
        raise no
    revive_all(tx, [(letter, None)])
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


def letters_of(tx: Transaction, ids: Sequence[int]) -> list[Letter]:
    """Read those of some messages that are dead.

    Args:
        tx (Transaction): What is being committed.
        ids (Sequence[int]): Of messages.

    Returns:
        list[Letter]: They, those put last first. One read, however many.
    """
    return [_letter(tx, row) for row in tx.run(_DEAD, (ids_text(ids),)).fetchall()] if ids else []


def revive_all(tx: Transaction, chosen: Iterable[tuple[Letter, Moment | None]]) -> None:
    """Let dead letters live again.

    Args:
        tx (Transaction): What is being committed.
        chosen (Iterable[tuple[Letter, Moment | None]]): They, and from when on each; None is at once.
    """
    chosen = list(chosen)
    tx.run_many(_LEAVE, [(letter.place.id,) for letter, _ in chosen])
    tx.run_many(_KEEP, [(letter.place.id, *letter.progress._replace(revived=letter.progress.revived + 1)) for letter, _ in chosen])
    waits: list[tuple[Any, ...]] = []
    for (place, _), at in chosen:
        new = _placed(tx, place, at, waits)
        tx.move(
            place.id, place.route, State.DEAD, Move.REVIVE if at is None else Move.RECALL, facts_of(tx, place, 0), held=new is State.HELD
        )
        kin.revived(tx, place)
    if waits:
        tx.run_many(_LATER, waits)


def _letter(tx: Transaction, row: tuple[Any, ...]) -> Letter:
    number, route, *rest = row[:_PLACE]
    results, revived, started_at, usage = row[_PLACE:]
    return Letter(Place(number, tx.names.route_by_id(route), *rest), Progress(0, 0, results, revived, started_at, None, usage))


def _placed(tx: Transaction, place: Place, at: Moment | None, waits: list[tuple[Any, ...]]) -> State:
    if not join(tx, place, place.route, turn=tx.number(), due_at=at):
        return State.HELD
    if at is None:
        return enter_ready(tx, place, 0)
    waits.append((place.id, place.route.id, place.tenant, at, msgspec.json.encode(Wait(why="paced", until=at))))
    watch_deadline(tx, place)
    return State.LATER
