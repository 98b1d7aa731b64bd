"""Taking back what workers held: those that stop, those that died, and slots that give up their message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from perdure.messages.dead import POISON_AT, QUARANTINE_AT, count_crash, worker_died
from perdure.messages.message import Lease, MessageId, Move, State, WorkerId
from perdure.messages.registry import Reaped
from perdure.stores.postgres.dialect import own
from perdure.stores.postgres.plain import Known, known_of, lay_ready
from perdure.stores.sql import reap as shared
from perdure.stores.sql.fence import Held
from perdure.stores.sql.finish import give_back as one_by_one
from perdure.stores.sql.finish import release_held
from perdure.stores.sql.places import entry_of, facts_of
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction, sees_latest
from perdure.stores.sql.workers import SqlWorkers, end

__all__ = ["PostgresWorkers", "give_back", "return_all"]

_TAKE_ALL, _TAKE_BACK, _RESULTS = statement("lease_take_all"), own("leases_take_back"), own("results_many")
_KEEP, _ATTEMPTS = own("progress_back_many"), own("attempt_add_many")


class _Taken(NamedTuple):
    """A message whose lease has just been taken back."""

    known: Known
    held: Held

    def is_plain(self, tx: Transaction) -> bool:
        """Tell whether it goes back with the others."""
        return self.held.called_off is None and self.held.gates is None and self.known.may_lie(tx)


class PostgresWorkers(SqlWorkers):
    """Knows the workers; what they held is taken back together."""

    async def _reap(self, suspect: shared.Suspect) -> Reaped | None:
        return await self._engine.write(_reap, suspect)

    async def _bow_out(self, worker: WorkerId) -> None:
        await self._engine.write(_bow_out, worker)


@sees_latest
def give_back(tx: Transaction, leases: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Let messages lie ready again, no crash counted.

    Args:
        tx (Transaction): What is being committed.
        leases (Sequence[tuple[int, int]]): Messages and tokens.

    Returns:
        set[tuple[int, int]]: Those that do. Of the others the lease is stale, or something about them is unusual.
    """
    known = known_of(tx, sorted({message for message, _ in leases}))
    plain = sorted(one for one in set(leases) if one[0] in known and known[one[0]].may_lie(tx))
    if not plain:
        return set()
    rows = tx.run(_TAKE_BACK, ([message for message, _ in plain], [token for _, token in plain])).fetchall()
    _release(tx, [_Taken(known[message], Held(*held)) for message, _, *held in rows])
    return {(message, token) for message, token, *_ in rows}


@sees_latest
def return_all(tx: Transaction, leases: Sequence[Lease]) -> None:
    """Give back what was leased for somebody who has gone meanwhile; what is no longer held is let be.

    Args:
        tx (Transaction): What is being committed.
        leases (Sequence[Lease]): All that was leased.
    """
    given_back = give_back(tx, [(one.message.id, one.token) for one in leases])
    one_by_one(tx, [one for one in leases if (one.message.id, one.token) not in given_back])


@sees_latest
def _reap(tx: Transaction, suspect: shared.Suspect) -> Reaped | None:
    if not shared.declare_dead(tx, suspect):
        return None
    fates = shared.new_fates()
    taken = _take_all(tx, suspect.id)
    crashed = _crash(tx, [one for one in taken if one.is_plain(tx)], suspect.id)
    for place, held in ((one.known.place, one.held) for one in taken):
        fate = crashed.get(place.id) or shared.crash(tx, place, held, suspect.id)
        fates[fate].append(MessageId(place.id))
    return shared.tell_reaped(tx, suspect.id, fates)


@sees_latest
def _bow_out(tx: Transaction, worker: WorkerId) -> None:
    if end(tx, worker):
        taken = _take_all(tx, worker)
        plain = [one for one in taken if one.is_plain(tx)]
        _release(tx, plain)
        gone = {one.known.place.id for one in plain}
        for known, held in taken:
            if known.place.id not in gone:
                release_held(tx, known.place, held)


def _take_all(tx: Transaction, worker: WorkerId) -> list[_Taken]:
    rows = sorted(tx.run(_TAKE_ALL, (worker,)).fetchall())
    known = known_of(tx, [message for message, *_ in rows])
    return [_Taken(known[message], Held(*held)) for message, *held in rows if message in known]


def _release(tx: Transaction, taken: Sequence[_Taken]) -> None:
    _keep(tx, ((one.known.place.id, one.known.progress.crashes, one.known.progress.results, one.held.started_at) for one in taken))
    lay_ready(tx, [(known.place, entry_of(tx, known.place, held.crashes)) for known, held in taken])
    for (place, _), held in taken:
        tx.move(place.id, place.route, State.LEASED, Move.RELEASE, facts_of(tx, place, held.attempt - 1))


def _crash(tx: Transaction, taken: Sequence[_Taken], worker: WorkerId) -> dict[int, str]:
    """Count a crash for each, and let those lie ready again that are no poison yet; say what became of these."""
    if not taken:
        return {}
    results: dict[int, int] = dict(tx.run(_RESULTS, ([one.known.place.id for one in taken],)).fetchall())
    back: list[tuple[_Taken, int, int]] = []
    for one in taken:
        place, before = one.known
        now = results.get(place.id, 0)
        crashes = count_crash(before.crashes, results_before=before.results, results_now=now)
        if crashes < POISON_AT:
            back.append((one, crashes, now))
    _keep(tx, ((one.known.place.id, crashes, now, one.held.started_at) for one, crashes, now in back))
    lay_ready(tx, [(one.known.place, entry_of(tx, one.known.place, crashes)) for one, crashes, _ in back])
    error = worker_died(worker)
    if back:
        attempts = [one.known.place.id for one, _, _ in back], [one.held.attempt for one, _, _ in back]
        tx.run(_ATTEMPTS, (tx.now, worker, msgspec.json.encode(error), *attempts))
    tx.count("crashes", len(back))
    for one, _, _ in back:
        place, before = one.known
        tx.total(place.route, "crashed")
        tx.move(place.id, place.route, State.LEASED, Move.RELEASE, facts_of(tx, place, before.used, error))
    return {one.known.place.id: "quarantined" if crashes >= QUARANTINE_AT else "released" for one, crashes, _ in back}


def _keep(tx: Transaction, rows: Iterable[tuple[int, int, int, float]]) -> None:
    columns = list(map(list, zip(*rows, strict=True)))
    if columns:
        tx.run(_KEEP, columns)
