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

__all__ = ["Suspect", "crash", "declare_dead", "look", "new_fates", "reap", "take_all", "tell_reaped"]

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
def reap(tx: Transaction, suspect: Suspect) -> Reaped | None:
    """Declare a worker dead that is still as it was seen.

    Args:
        tx (Transaction): What is being committed.
        suspect (Suspect): Who seemed dead.

    Returns:
        Reaped | None: What became of what it held; None if it lives after all, or somebody was quicker.
    """
    if not declare_dead(tx, suspect):
        return None
    fates = new_fates()
    for place, held in take_all(tx, suspect.id):
        fates[crash(tx, place, held, suspect.id)].append(MessageId(place.id))
    return tell_reaped(tx, suspect.id, fates)


def declare_dead(tx: Transaction, suspect: Suspect) -> bool:
    """Fence a worker that has not beaten since it was seen.

    Args:
        tx (Transaction): What is being committed.
        suspect (Suspect): Who seemed dead.

    Returns:
        bool: False if it lives after all, or somebody was quicker.
    """
    card = tx.run(_END, (suspect.id, suspect.beat_at, tx.now)).get
    if card is None:
        return False
    tx.run(_DROP_ABLE, (suspect.id,))
    tx.count("reaped")
    tx.tell("worker.died", worker=suspect.id, host=_decode_card(card).host)
    return True


def new_fates() -> dict[str, list[MessageId]]:
    """Say what may become of what a dead worker held.

    Returns:
        dict[str, list[MessageId]]: The fields of `Reaped`, still empty.
    """
    return {fate: [] for fate in ("released", "quarantined", "buried", "cancelled")}


def tell_reaped(tx: Transaction, worker: WorkerId, fates: dict[str, list[MessageId]]) -> Reaped:
    """Say what became of what a dead worker held.

    Args:
        tx (Transaction): What is being committed.
        worker (WorkerId): Who died.
        fates (dict[str, list[MessageId]]): As in `new_fates`, filled.

    Returns:
        Reaped: The same.
    """
    tx.tell("worker.reaped", worker=worker, **{fate: len(ids) for fate, ids in fates.items()})
    return Reaped(worker=worker, **fates)


def take_all(tx: Transaction, worker: WorkerId) -> list[tuple[Place, Held]]:
    """Take back all that a worker holds.

    Args:
        tx (Transaction): What is being committed.
        worker (WorkerId): One that has just ended.

    Returns:
        list[tuple[Place, Held]]: Each message, and what was known of its lease.
    """
    rows = sorted(tx.run(_TAKE_ALL, (worker,)).fetchall())
    places = [(place_of(tx, message), Held(*held)) for message, *held in rows]
    return [(place, held) for place, held in places if place is not None]


def crash(tx: Transaction, place: Place, held: Held, worker: WorkerId) -> str:
    """Count a crash for a message whose lease has just been taken back, and let it lie where it belongs then.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        held (Held): What was known of its lease.
        worker (WorkerId): Who died with it.

    Returns:
        str: What became of it, as in `Reaped`.
    """
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
