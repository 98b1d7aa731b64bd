"""Who works here, in the store."""

from __future__ import annotations

import msgspec

from perdure.clock import Moment, awake
from perdure.errors.base import StoreError
from perdure.errors.handler import handle
from perdure.messages.message import WorkerId
from perdure.messages.registry import DEAD_AFTER_S, AgentCard, Heart, Reaped, WorkerCard, WorkerRegistry, WorkerStatus
from perdure.resources.single_flight import SingleFlight
from perdure.stores.sql import reap
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.finish import release_held
from perdure.stores.sql.reap import Suspect
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction, sees_latest

__all__ = ["SqlWorkers", "end"]

_ADD, _END, _SHOWN = (statement(f"worker_{verb}") for verb in ("add", "end", "shown"))
_ADD_ABLE, _DROP_ABLE, _SET_AGENT = statement("worker_agent_add"), statement("worker_agent_drop"), statement("agent_set")
_AGENT, _AGENTS = statement("agent_get"), statement("agent_list")
_SHOWN_S = 3600.0
_CACHED_S = 1.0
_decode_worker = msgspec.json.Decoder(WorkerCard).decode
_decode_agent = msgspec.json.Decoder(AgentCard).decode


class SqlWorkers(WorkerRegistry):
    """Knows the workers and what they can do.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cards: dict[str, tuple[float, AgentCard]] = {}
        self._looks: SingleFlight[str, AgentCard | None] = SingleFlight()

    async def register(self, card: WorkerCard) -> WorkerId:
        """Begin to live; the lock is held before anybody can see the worker."""
        worker = await self._engine.write(_draw)
        await self._engine.locks.hold(worker)
        try:
            await self._engine.write(_add, worker, card)
        except BaseException:
            await self._engine.locks.release(worker)
            raise
        self._cards.clear()
        return worker

    def heart(self, worker: WorkerId) -> Heart:
        """Give the heartbeat thread what it needs."""
        return self._engine.heart(worker)

    async def bow_out(self, worker: WorkerId) -> None:
        """Stop living in good order."""
        await self._bow_out(worker)
        await self._engine.locks.release(worker)

    async def reap(self, *, dead_after_s: float = DEAD_AFTER_S) -> list[Reaped]:
        """Declare the dead dead and take back what they held."""
        engine = self._engine
        now = engine.clock.now()
        by_age = engine.outage_at is None or now - engine.outage_at >= dead_after_s
        reaped: list[Reaped] = []
        try:
            for suspect in await engine.read(reap.look, engine.locks, now - dead_after_s if by_age else None):
                reaped += await self._reap_or_pass_by(suspect)
        except StoreError:
            engine.outage_at = engine.clock.now()
            raise
        finally:
            for one in reaped:
                await engine.locks.release(one.worker)
        return reaped

    async def workers(self) -> list[WorkerStatus]:
        """List living workers, and the dead of the last hour."""
        return await self._engine.read(_shown, self._engine.clock.now() - _SHOWN_S)

    async def agents(self) -> list[AgentCard]:
        """List every agent as registered last."""
        return await self._engine.read(_agents)

    async def agent(self, name: str) -> AgentCard | None:
        """Look an agent up as registered last; another process's registration is seen within a second."""
        read_at, known = self._cards.get(name, (0.0, None))
        if known is not None and awake() - read_at < _CACHED_S:
            return known
        card = await self._looks.fly(name, lambda: self._read(name))
        if card is not None:
            self._cards[name] = (awake(), card)
        return card

    async def _reap_or_pass_by(self, suspect: Suspect) -> list[Reaped]:
        """One that cannot be reaped must not keep the others from it."""
        try:
            one = await self._reap(suspect)
        except StoreError:
            raise
        except Exception as error:
            handle(error, where="store.reaping", what=f"what worker {suspect.id} held cannot be taken back", broke=True)
            return []
        return [] if one is None else [one]

    async def _reap(self, suspect: Suspect) -> Reaped | None:
        return await self._engine.write(reap.reap, suspect)

    async def _bow_out(self, worker: WorkerId) -> None:
        await self._engine.write(_bow_out, worker)

    async def _read(self, name: str) -> AgentCard | None:
        return await self._engine.read(_agent, name)


def _draw(tx: Transaction) -> WorkerId:
    return WorkerId(tx.worker_number())


def _add(tx: Transaction, worker: WorkerId, card: WorkerCard) -> None:
    queues = None if card.queues is None else msgspec.json.encode(card.queues)
    tx.run(_ADD, (worker, int(card.quarantine), queues, msgspec.json.encode(card), tx.now, tx.now))
    for agent in card.agents:
        tx.run(_ADD_ABLE, (worker, agent.name, agent.version))
        tx.run(_SET_AGENT, (agent.name, msgspec.json.encode(agent), tx.now))


def end(tx: Transaction, worker: WorkerId) -> bool:
    """Note that a worker lives no longer, in good order.

    Args:
        tx (Transaction): What is being committed.
        worker (WorkerId): Which.

    Returns:
        bool: False if that was known.
    """
    if tx.run(_END, (worker, tx.now)).fetchone() is None:
        return False
    tx.run(_DROP_ABLE, (worker,))
    return True


@sees_latest
def _bow_out(tx: Transaction, worker: WorkerId) -> None:
    if end(tx, worker):
        for place, held in reap.take_all(tx, worker):
            release_held(tx, place, held)


def _shown(run: Run, since: Moment) -> list[WorkerStatus]:
    return [
        WorkerStatus(id=worker, card=_decode_worker(card), started_at=started_at, beat_at=beat_at, alive=ended_at is None, leases=leases)
        for worker, card, started_at, beat_at, ended_at, leases in run(_SHOWN, (since,))
    ]


def _agents(run: Run) -> list[AgentCard]:
    return [_decode_agent(card) for (card,) in run(_AGENTS)]


def _agent(run: Run, name: str) -> AgentCard | None:
    card = run(_AGENT, (name,)).get
    return None if card is None else _decode_agent(card)
