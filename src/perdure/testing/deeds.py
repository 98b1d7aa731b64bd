"""All that can be done to a store, done to the model as well: each deed says what must come of it.

Plain methods without hypothesis; `StoreMachine` decides which of them happen, and in which order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from perdure.agents.journal import Decision, MemoryWrite, StepKind
from perdure.errors.base import Conflict, DedupConflict, LeaseLost, NotFound, PerdureError, RunCancelled, WorkerFenced
from perdure.messages.limits import Limit, Scope
from perdure.messages.message import ENDS, Lease, NewMessage, Wait, WorkerId
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, NO_CREDIT, UNKNOWN, card, intent
from perdure.testing.model import Letter, StoreModel, Worker

__all__ = ["Deeds"]

T = TypeVar("T")


class Deeds:
    """A store, its model, and what is done to both.

    Args:
        store (Store): New and open.
        clock (FakeClock): Its time.
        loop (asyncio.AbstractEventLoop): Where it lives.
    """

    def __init__(self, store: Store, clock: FakeClock, loop: asyncio.AbstractEventLoop) -> None:
        self.store: Store = store
        self.clock: FakeClock = clock
        self.model: StoreModel = StoreModel(clock)
        self.leases: list[Lease] = []
        """Every lease ever given, held or stale; a letter's `token` is a place in this list."""
        self._loop = loop

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        """Make a call that has to succeed.

        Args:
            call (Coroutine[Any, Any, T]): To the store.

        Returns:
            T: What it returns.
        """
        return self._loop.run_until_complete(call)

    def refused(self, call: Coroutine[Any, Any, object], error: type[PerdureError]) -> None:
        """Make a call that has to be refused.

        Args:
            call (Coroutine[Any, Any, object]): To the store.
            error (type[PerdureError]): With what.

        Raises:
            AssertionError: It was not.
        """
        try:
            self.do(call)
        except error:
            return
        raise AssertionError(f"it was not refused with {error.__name__}")

    def holds(self, call: Coroutine[Any, Any, object], lease: Lease, letter: Letter, *, fits: bool = True) -> bool:
        """Make a call with a lease.

        Args:
            call (Coroutine[Any, Any, object]): To the store.
            lease (Lease): With which.
            letter (Letter): Its message.
            fits (bool): Whether the state of the journal allows it.

        Returns:
            bool: True if it had to be accepted, and was.
        """
        if letter.token is None or self.leases[letter.token] is not lease:
            self.refused(call, LeaseLost)
            self.model.counters["refused_stale"] += 1
            return False
        if not fits:
            self.refused(call, Conflict)
            return False
        self.do(call)
        return True

    def begins(self, call: Coroutine[Any, Any, object], lease: Lease, letter: Letter, *, fits: bool) -> bool:
        """Make a call that begins something new with a lease.

        Args:
            call (Coroutine[Any, Any, object]): To the store.
            lease (Lease): With which.
            letter (Letter): Its message.
            fits (bool): Whether the state of the journal allows it.

        Returns:
            bool: True if it had to be accepted, and was.
        """
        if letter.called_off and letter.token is not None and self.leases[letter.token] is lease:
            self.refused(call, RunCancelled)
            return False
        return self.holds(call, lease, letter, fits=fits)

    # Messages --------------------------------------------------------------------------------------

    def put(self, batch: list[NewMessage]) -> None:
        now = self.clock.now()
        first: dict[tuple[str, str], NewMessage] = {key: self.model.letters[id].new for key, id in self.model.keys.items()}
        if any(new.dedup_key and first.setdefault((new.tenant, new.dedup_key), new).body != new.body for new in batch):
            self.refused(self.store.messages.put(batch), DedupConflict)
            self._look_at_routes()
            return
        receipts = self.do(self.store.messages.put(batch))
        for new, receipt in zip(batch, receipts, strict=True):
            known = self.model.keys.get((new.tenant, new.dedup_key)) if new.dedup_key else None
            assert receipt.duplicate == (known is not None)
            if known is None:
                assert receipt.id > max(self.model.letters, default=0)
                self.model.born(receipt.id, new, now)
            else:
                assert receipt.id == known
        if any(receipt.duplicate for receipt in receipts):
            self._look_at_routes()

    def _look_at_routes(self) -> None:
        """A store may come to know a route by what it did not keep; from then on it can say that nothing of it can start."""
        for route in self.do(self.store.messages.routes()):
            if not route.quarantine:
                self.model.routes.setdefault((route.queue, route.lane, False))

    def cancel(self, letter: Letter) -> None:
        call = self.store.messages.cancel(letter.id)
        if letter.place == "leased":
            assert self.do(call).cancelling
            letter.called_off = True
        elif letter.place in {"done", "dead"}:
            self.refused(call, Conflict)
        else:
            assert self.do(call).state == "cancelled"
            if letter.place != "cancelled":
                self.model.end(letter, "cancelled")

    def revive(self, letter: Letter) -> None:
        call = self.store.messages.revive(letter.id)
        late = letter.new.deadline is not None and letter.new.deadline <= self.clock.now()
        if letter.place != "dead" or late:
            self.refused(call, Conflict)
            return
        state = self.do(call).state
        letter.used, letter.crashes, letter.waiting_since, letter.code = 0, 0, None, None
        letter.revived += 1
        self.model.ready(letter, self.clock.now())
        self.model.totals[letter.new.queue, "revived"] += 1
        assert state == letter.place

    def decide(self, letter: Letter, number: int, decision: Decision) -> None:
        call = self.store.journal.decide(letter.id, number, decision, by="key_1", result=b"7", tenant=letter.new.tenant)
        if number not in letter.steps:
            self.refused(call, NotFound)
        elif (letter.why, letter.step) != ("outcome-unknown", number):
            self.refused(call, Conflict)
        else:
            self.do(call)
            if decision is Decision.BURY:
                self.model.end(letter, "dead", code=UNKNOWN.code)
                return
            letter.steps[number][0] = "done" if decision is Decision.HAPPENED else "again"
            letter.waiting_since = None
            self.model.ready(letter, self.clock.now())

    def pause(self, queue: str | None) -> None:
        self.do(self.store.messages.pause(queue))
        self.model.paused.add(queue)

    def resume(self, queue: str | None) -> None:
        self.do(self.store.messages.resume(queue))
        self.model.paused.discard(queue)

    def set_limit(self, scope: Scope, name: str, at_once: int) -> None:
        status = self.do(self.store.messages.set_limit(Limit(scope=scope, name=name, at_once=at_once)))
        self.model.turns.set_limit(scope, name, at_once, self.clock.now())
        assert status.limit.at_once == at_once

    def drop_limit(self, scope: Scope, name: str) -> None:
        assert self.do(self.store.messages.drop_limit(scope, name)) == ((scope, name) in self.model.turns.limits)
        self.model.turns.drop_limit(scope, name, self.clock.now())

    def close_lane(self, lane: str, *, seconds: float) -> None:
        until = self.clock.now() + seconds
        self.do(self.store.messages.close_lane(lane, until=until, why="provider-rate-limited"))
        self.model.lanes[lane] = max(until, self.model.lanes.get(lane, until))

    def tend(self) -> None:
        expected = self.model.tend(self.clock.now())
        tended = self.do(self.store.messages.tend())
        assert (tended.expired, tended.gave_up, tended.due) == expected
        moments = [letter.until for letter in self.model.letters.values() if letter.until is not None and letter.place != "held"]
        assert tended.next_due_at == min(moments, default=None)

    # Workers ---------------------------------------------------------------------------------------

    def comes(self, *, quarantine: bool) -> WorkerId:
        worker = self.do(self.store.workers.register(card(quarantine=quarantine)))
        assert worker not in self.model.workers
        self.model.workers[worker] = Worker(quarantine, beat_at=self.clock.now())
        return worker

    def beats(self, worker: WorkerId) -> None:
        heart = self.store.workers.heart(worker)
        try:
            heart.beat()
            assert self.model.workers[worker].alive
            self.model.workers[worker].beat_at = self.clock.now()
        except WorkerFenced:
            assert not self.model.workers[worker].alive
        finally:
            heart.close()

    def bows_out(self, worker: WorkerId) -> None:
        self.do(self.store.workers.bow_out(worker))
        if self.model.workers[worker].alive:
            self.model.workers[worker].alive = False
            for letter in self.model.held_by(worker):
                self.model.back(letter, self.clock.now())

    def reap(self) -> None:
        now = self.clock.now()
        silent = sorted(id for id, worker in self.model.workers.items() if worker.alive and now - worker.beat_at > 10)
        expected = {worker: self.model.dies(worker, now) for worker in silent}
        reaped = self.do(self.store.workers.reap())
        told = {
            one.worker: {"released": one.released, "quarantined": one.quarantined, "buried": one.buried, "cancelled": one.cancelled}
            for one in reaped
        }
        assert {worker: {fate: sorted(ids) for fate, ids in fates.items()} for worker, fates in told.items()} == expected

    def lease(self, worker: WorkerId, limit: int) -> None:
        now, quarantine = self.clock.now(), self.model.workers[worker].quarantine
        routes = [route for route in self.do(self.store.messages.routes()) if route.quarantine == quarantine]
        if not self.model.workers[worker].alive:
            self.refused(self.store.messages.lease(routes, limit=limit, worker=worker), WorkerFenced)
            return
        leases = self.do(self.store.messages.lease(routes, limit=limit, worker=worker))
        expected: list[Letter] = []
        while len(expected) < limit and (letter := self.model.next_for(worker, now)) is not None:
            letter.place, letter.holder = "leased", worker
            expected.append(letter)
        assert [lease.message.id for lease in leases] == [letter.id for letter in expected]
        for lease, letter in zip(leases, expected, strict=True):
            said = (lease.worker, lease.attempt, lease.crashes, lease.waiting_since)
            assert said == (worker, letter.used + 1, letter.crashes, letter.waiting_since)
            letter.token = len(self.leases)
            self.leases.append(lease)

    # Runs ------------------------------------------------------------------------------------------

    def is_released(self, lease: Lease, letter: Letter) -> None:
        if self.holds(self.store.messages.release(lease), lease, letter):
            self.model.back(letter, self.clock.now())

    def is_done(self, lease: Lease, letter: Letter) -> None:
        if self.holds(self.store.messages.done(lease, b'"good"'), lease, letter):
            letter.used += 1
            letter.result = b'"good"'
            self.model.end(letter, "done")

    def is_retried(self, lease: Lease, letter: Letter, number: int, *, delay: float) -> None:
        at = self.clock.now() + delay
        if self.holds(self.store.messages.retry(lease, BROKE, at=at, step=number), lease, letter):
            _blame(letter, number)
            letter.used += 1
            letter.failures += 1
            if letter.called_off:
                self.model.end(letter, "cancelled")
                return
            letter.waiting_since = None
            self.model.wait(letter, "backoff", until=at, step=number)
            self.model.totals[letter.new.queue, "retried"] += 1

    def is_buried(self, lease: Lease, letter: Letter, number: int, *, uses_attempt: bool) -> None:
        if self.holds(self.store.messages.bury(lease, BROKE, step=number, uses_attempt=uses_attempt), lease, letter):
            _blame(letter, number)
            letter.used += uses_attempt
            letter.failures += 1
            self.model.end(letter, "cancelled") if letter.called_off else self.model.end(letter, "dead", code=BROKE.code)

    def is_parked(self, lease: Lease, letter: Letter, number: int, *, why: str) -> None:
        now = self.clock.now()
        wait = {
            "sleep": Wait(why="sleep", until=now + 8, step=number),
            "account": Wait(why="account", until=now + 8, open_ended=True, error=NO_CREDIT),
            "outcome-unknown": Wait(why="outcome-unknown", step=number, error=UNKNOWN),
            "signal": Wait(why="signal", step=number, events=("signal:a", "signal:b")),
            "signal-or-time": Wait(why="signal", until=now + 8, step=number, events=("signal:b",)),
        }[why]
        if self.holds(self.store.messages.park(lease, wait), lease, letter):
            if letter.called_off or any(letter.signals[event.removeprefix("signal:")] for event in wait.events):
                self.model.back(letter, now)
                return
            letter.waiting_since = (letter.waiting_since or now) if wait.is_endless else None
            self.model.wait(letter, wait.why, until=wait.until, step=wait.step, open_ended=wait.open_ended, events=wait.events)

    def is_signalled(self, letter: Letter, name: str) -> None:
        call = self.store.messages.signal(letter.id, name, b"5", tenant=letter.new.tenant)
        if letter.place in ENDS:
            self.refused(call, Conflict)
            return
        self.do(call)
        letter.signals[name] += 1
        if f"signal:{name}" in letter.events:
            letter.waiting_since = None
            self.model.ready(letter, self.clock.now())

    def is_obtained(self, lease: Lease, letter: Letter, number: int, name: str) -> None:
        state, tries, doubts = letter.steps.get(number, ["new", 0, 0])
        call = self.store.journal.obtain(lease, intent(number, kind=StepKind.WAIT, signal=name))
        if self.begins(call, lease, letter, fits=state != "done"):
            tries += state != "intent"
            letter.steps[number] = ["done" if letter.signals[name] else "intent", tries, doubts]
            letter.signals[name] -= letter.signals[name] > 0

    def is_begun(self, lease: Lease, letter: Letter, number: int, *, ambiguous: bool) -> None:
        state, tries, doubts = letter.steps.get(number, ["new", 0, 0])
        kind = StepKind.TOOL if number == 3 else StepKind.LLM
        call = self.store.journal.intend(lease, intent(number, kind=kind, ambiguous=ambiguous))
        if self.begins(call, lease, letter, fits=state != "done"):
            letter.steps[number] = ["intent", tries + 1, doubts + ambiguous]
            self.model.counters["possibly_paid_twice"] += ambiguous and kind is StepKind.LLM

    def is_settled(self, lease: Lease, letter: Letter, number: int) -> None:
        state, tries, doubts = letter.steps.get(number, ["new", 0, 0])
        call = self.store.journal.settle(lease, intent(number, kind=StepKind.VALUE), b"1")
        if self.begins(call, lease, letter, fits=state != "done"):
            letter.steps[number] = ["done", tries + 1, doubts]

    def is_ended(self, lease: Lease, letter: Letter, number: int, write: str) -> None:
        state = letter.steps[number][0]
        value = f'"{lease.token}/{number}"'.encode()
        if write == "record":
            call = self.store.journal.record(lease, number, value, memory=MemoryWrite(space="notes", key=str(number), value=value))
        elif write == "fail":
            call = self.store.journal.fail(lease, number, BROKE)
        else:
            call = self.store.journal.defer(lease, number, NO_CREDIT)
        if self.holds(call, lease, letter, fits=state == "intent" or (write == "defer" and state == "failed")):
            letter.steps[number][0] = {"record": "done", "fail": "failed", "defer": "again"}[write]
            if write == "record":
                self.model.memory[f"{letter.new.tenant}/{number}"] = value


def _blame(letter: Letter, number: int) -> None:
    if number in letter.steps and letter.steps[number][0] == "failed":
        letter.steps[number][0] = "again"
