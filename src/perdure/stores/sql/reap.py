"""Declaring workers dead, and taking back what they held."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.messages.dead import POISON_AT, QUARANTINE_AT, count_crash, poison, worker_died
from perdure.messages.message import Attempt, MessageId, Move, State, WorkerId
from perdure.messages.registry import Reaped, WorkerCard
from perdure.stores.sql.admission import enter_ready, give_back_slots
from perdure.stores.sql.endings import end
from perdure.stores.sql.engine import Locks
from perdure.stores.sql.fence import Held
from perdure.stores.sql.finish import cancel_held, log_attempt
from perdure.stores.sql.places import Place, facts_of, place_of
from perdure.stores.sql.progress import keep_progress, progress_of
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction, sees_latest

__all__ = ["Suspect", "look", "reap", "take_all"]

_BEATS, _END, _DROP_ABLE = statement("worker_beats"), statement("worker_end_if"), statement("worker_agent_drop")
_TAKE_ALL, _RESULTS = statement("lease_take_all"), statement("step_count_done")
_decode_card = msgspec.json.Decoder(WorkerCard).decode


class Suspect(NamedTuple):
    """A worker that seems dead."""

    id: WorkerId
    beat_at: Moment
    """Its last beat as seen: one that has beaten since is alive after all."""


def look(run: Run, locks: Locks, silent_since: Moment | None) -> list[Suspect]:
    """See who seems dead.

    Args:
        run (Run): Of a reader.
        locks (Locks): To try the locks of this host.
        silent_since (Moment | None): Who has not beaten since this moment is dead; None asks the locks alone.

    Returns:
        list[Suspect]: Whom to declare dead.
    """
    living = [Suspect(*row) for row in run(_BEATS)]
    return [one for one in living if (silent_since is not None and one.beat_at < silent_since) or locks.is_free(run, one.id)]


@sees_latest
def reap(tx: Transaction, suspects: list[Suspect]) -> list[Reaped]:
    """Declare workers dead that are still as they were seen.

    Args:
        tx (Transaction): What is being committed.
        suspects (list[Suspect]): Who seemed dead.

    Returns:
        list[Reaped]: One for each that is.
    """
    reaped: list[Reaped] = []
    for suspect in suspects:
        card = tx.run(_END, (suspect.id, suspect.beat_at, tx.now)).get
        if card is not None:
            tx.run(_DROP_ABLE, (suspect.id,))
            tx.count("reaped")
            tx.tell("worker.died", worker=suspect.id, host=_decode_card(card).host)
            reaped.append(_take_from(tx, suspect.id))
    return reaped


def take_all(tx: Transaction, worker: WorkerId) -> list[tuple[Place, Held, int]]:
    """Take back all that a worker holds.

    Args:
        tx (Transaction): What is being committed.
        worker (WorkerId): One that has just ended.

    Returns:
        list[tuple[Place, Held, int]]: Each message, what was known of its lease, and the worker.
    """
    rows = sorted(tx.run(_TAKE_ALL, (worker,)).fetchall())
    places = [(place_of(tx, message), Held(*held)) for message, *held in rows]
    return [(place, held, worker) for place, held in places if place is not None]


def _take_from(tx: Transaction, worker: WorkerId) -> Reaped:
    fates: dict[str, list[MessageId]] = {fate: [] for fate in ("released", "quarantined", "buried", "cancelled")}
    for place, held, _ in take_all(tx, worker):
        fates[_crash(tx, place, held, worker)].append(MessageId(place.id))
    tx.tell("worker.reaped", worker=worker, **{fate: len(ids) for fate, ids in fates.items()})
    return Reaped(worker=worker, **fates)


def _crash(tx: Transaction, place: Place, held: Held, worker: WorkerId) -> str:
    before = progress_of(tx.run, place.id)
    results = tx.run(_RESULTS, (place.id,)).get
    crashes = count_crash(before.crashes, results_before=before.results, results_now=results)
    error = worker_died(worker)
    log_attempt(tx, place.id, Attempt(n=held.attempt, kind="crash", error=error, at=tx.now, worker=worker))
    tx.count("crashes")
    tx.total(place.route, "crashed")
    if held.called_off is not None:
        cancel_held(tx, place, held, used=before.used)
        return "cancelled"
    keep_progress(tx, place.id, before._replace(crashes=crashes, results=results, started_at=held.started_at))
    if crashes >= POISON_AT:
        facts = poison(crashes)
        state = tx.move(place.id, place.route, State.LEASED, Move.BURY, facts_of(tx, place, before.used, facts))
        give_back_slots(tx, held.gates)
        end(tx, place, state, used=before.used, started_at=held.started_at, error=facts)
        return "buried"
    state = enter_ready(tx, place, crashes, slots=held.gates)
    tx.move(place.id, place.route, State.LEASED, Move.RELEASE, facts_of(tx, place, before.used, error), held=state is State.HELD)
    return "quarantined" if crashes >= QUARANTINE_AT else "released"
