"""Who works here, in memory. A worker of this store lives in this process, so only silence shows death."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.agents.journal import StepState
from perdure.clock import Moment
from perdure.errors.base import WorkerFenced
from perdure.messages.dead import POISON_AT, QUARANTINE_AT, count_crash, poison, worker_died
from perdure.messages.message import Attempt, MessageId, Move, State, WorkerId
from perdure.messages.registry import DEAD_AFTER_S, AgentCard, Reaped, WorkerCard, WorkerRegistry, WorkerStatus
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.ending import release
from perdure.stores.inmemory.rows import Row, WorkerRow

_SHOWN_S = 3600.0

__all__ = ["InMemoryHeart", "InMemoryWorkers"]


@dataclass(frozen=True)
class InMemoryHeart:
    """Beats for one worker.

    Args:
        contents (Contents): What the store keeps.
        worker (WorkerId): For whom.
    """

    contents: Contents
    worker: WorkerId

    def beat(self) -> None:
        """Say that the worker lives."""
        with self.contents.open() as now:
            living(self.contents, self.worker).beat_at = now

    def close(self) -> None:
        """Let go; nothing is held here."""


@dataclass(frozen=True)
class InMemoryWorkers(WorkerRegistry):
    """Knows the workers and what they can do.

    Args:
        contents (Contents): What the store keeps.
    """

    contents: Contents

    async def register(self, card: WorkerCard) -> WorkerId:
        """Begin to live."""
        with self.contents.open() as now:
            worker = self.contents.worker_number()
            self.contents.workers[worker] = WorkerRow(card=card, started_at=now, beat_at=now)
            self.contents.agents.update({agent.name: agent for agent in card.agents})
            return worker

    def heart(self, worker: WorkerId) -> InMemoryHeart:
        """Give the heartbeat thread what it needs."""
        return InMemoryHeart(self.contents, worker)

    async def bow_out(self, worker: WorkerId) -> None:
        """Stop living in good order."""
        with self.contents.open() as now:
            row = self.contents.workers.get(worker)
            if row is None or row.ended_at is not None:
                return
            row.ended_at = now
            for held in _held_by(self.contents, worker):
                release(self.contents, held)

    async def reap(self, *, dead_after_s: float = DEAD_AFTER_S) -> list[Reaped]:
        """Declare the dead dead and take back what they held."""
        with self.contents.open() as now:
            silent = [worker for worker, row in self.contents.workers.items() if row.ended_at is None and now - row.beat_at > dead_after_s]
            return [self._reaped(worker, now) for worker in silent]

    async def workers(self) -> list[WorkerStatus]:
        """List living workers, and the dead of the last hour."""
        with self.contents.open() as now:
            shown = [
                (worker, row) for worker, row in self.contents.workers.items() if row.ended_at is None or now - row.ended_at <= _SHOWN_S
            ]
            return [_status(self.contents, worker, row) for worker, row in reversed(shown)]

    async def agents(self) -> list[AgentCard]:
        """List every agent as registered last."""
        with self.contents.open():
            return [self.contents.agents[name] for name in sorted(self.contents.agents)]

    async def agent(self, name: str) -> AgentCard | None:
        """Look an agent up as registered last."""
        with self.contents.open():
            return self.contents.agents.get(name)

    def _reaped(self, worker: WorkerId, now: Moment) -> Reaped:
        self.contents.workers[worker].ended_at = now
        self.contents.counters["reaped"] += 1
        self.contents.later("worker.died", worker=worker, host=self.contents.workers[worker].card.host)
        fates: dict[str, list[MessageId]] = {fate: [] for fate in ("released", "quarantined", "buried", "cancelled")}
        for row in _held_by(self.contents, worker):
            fates[_crash(self.contents, row, worker, now)].append(row.message.id)
        self.contents.later("worker.reaped", worker=worker, **{fate: len(ids) for fate, ids in fates.items()})
        return Reaped(worker=worker, **fates)


def living(contents: Contents, worker: WorkerId) -> WorkerRow:
    """Find a worker that may still act.

    Args:
        contents (Contents): What the store keeps.
        worker (WorkerId): Who.

    Returns:
        WorkerRow: Its row.

    Raises:
        WorkerFenced: It was declared dead, bowed out, or never registered.
    """
    row = contents.workers.get(worker)
    if row is None or row.ended_at is not None:
        raise WorkerFenced(f"worker {worker} is not alive", hint="It must stop; whatever it still writes is refused.")
    return row


def _held_by(contents: Contents, worker: WorkerId) -> list[Row]:
    return [row for row in contents.rows.values() if row.state is State.LEASED and row.worker == worker]


def _status(contents: Contents, id: WorkerId, row: WorkerRow) -> WorkerStatus:
    return WorkerStatus(
        id=id,
        card=row.card,
        started_at=row.started_at,
        beat_at=row.beat_at,
        alive=row.ended_at is None,
        leases=len(_held_by(contents, id)),
    )


def _crash(contents: Contents, row: Row, worker: WorkerId, now: Moment) -> str:
    results = sum(step.state is StepState.DONE for step in contents.steps.get(row.message.id, {}).values())
    before = row.crashes, row.results_at_crash
    row.crashes = count_crash(row.crashes, results_before=row.results_at_crash, results_now=results)
    row.results_at_crash = results
    row.log.append(Attempt(n=row.used + 1, kind="crash", error=worker_died(worker), at=now, worker=worker))
    contents.counters["crashes"] += 1
    contents.total(row, "crashed")
    if row.called_off:
        row.crashes, row.results_at_crash = before
        release(contents, row)
        return "cancelled"
    if row.crashes >= POISON_AT:
        row.error = poison(row.crashes)
        contents.move(row, Move.BURY)
        contents.total(row, "dead")
        return "buried"
    contents.move(row, Move.RELEASE)
    return "quarantined" if row.crashes >= QUARANTINE_AT else "released"
