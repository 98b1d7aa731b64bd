"""A machine that does to a store whatever can be done, in any order, beside a model that says what must come of it.

    class SqliteMachine(StoreMachine):
        def open_store(self, clock: FakeClock) -> Store:
            return SqliteStore(self.folder / "perdure.db", clock=clock)


    TestSqlite = SqliteMachine.TestCase

Several workers live, fall silent and die; leases of the past are used again and again; after each step
all that is kept is compared with the model.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure.agents.journal import Decision, MemoryWrite, StepKind
from perdure.errors.base import Conflict, DedupConflict, LeaseLost, NotFound, NotYetBuilt, PerdureError, WorkerFenced
from perdure.messages.message import Lease, MessageId, NewMessage, Wait, WorkerId
from perdure.messages.store import Filter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, NO_CREDIT, UNKNOWN, card, intent
from perdure.testing.model import Letter, StoreModel, Worker

__all__ = ["StoreMachine"]

T = TypeVar("T")
any_of = st.integers(0, 10**6)
"""Which one of those there are, counted round."""
mostly_recent = st.integers(0, 3) | any_of
"""Counted from the newest."""
numbers = st.integers(1, 3)
queues = st.sampled_from(["default", "mail"])


@st.composite
def new_messages(draw: st.DrawFn) -> NewMessage:
    """Draw a message; its times are relative to now.

    Args:
        draw (st.DrawFn): As hypothesis gives it.

    Returns:
        NewMessage: With `due_at` and `deadline` still to be added to the time of the put.
    """
    return NewMessage(
        agent="mail",
        body=draw(st.sampled_from([b"1", b"2"])),
        queue=draw(queues),
        tenant=draw(st.sampled_from(["default", "acme"])),
        priority=draw(st.sampled_from([0, 5, 9])),
        due_at=draw(st.sampled_from([None, None, None, -5.0, 30.0])),
        dedup_key=draw(st.sampled_from([None, None, None, "a", "b"])),
        deadline=draw(st.sampled_from([None, None, None, 40.0])),
        max_wait_s=draw(st.sampled_from([50.0, 10_000.0])),
        lane=draw(st.sampled_from([None, "p/m"])),
    )


class StoreMachine(RuleBasedStateMachine):
    """Subclass it with `open_store`; its `TestCase` is the test."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._scratch = tempfile.TemporaryDirectory(prefix="perdure-machine-")
        self.folder = Path(self._scratch.name)
        self.clock = FakeClock()
        self.model = StoreModel()
        self.leases: list[Lease] = []
        self._seen_change = 0
        self.store = self._do(self.open_store(self.clock).__aenter__())

    def open_store(self, clock: FakeClock) -> Store:
        """Make the store that is to be proved.

        Args:
            clock (FakeClock): Its time.

        Returns:
            Store: New and empty; not yet entered. `self.folder` is an empty folder of this run's own.
        """
        raise NotImplementedError

    def teardown(self) -> None:
        """Close the store and what is around it."""
        self._do(self.store.__aexit__(None, None, None))
        self._loop.close()
        self._scratch.cleanup()

    # Putting ---------------------------------------------------------------------------------------

    @rule(drawn=st.lists(new_messages(), min_size=1, max_size=5))
    def put(self, drawn: list[NewMessage]) -> None:
        now = self.clock.now()
        batch = [_at(new, now) for new in drawn]
        known = {key: (self.model.letters[id].new, id) for key, id in self.model.keys.items()}
        first: dict[tuple[str, str], NewMessage] = {key: new for key, (new, _) in known.items()}
        conflict = any(new.dedup_key and first.setdefault((new.tenant, new.dedup_key), new).body != new.body for new in batch)
        if conflict:
            self._refused(self.store.messages.put(batch), DedupConflict)
            return
        receipts = self._do(self.store.messages.put(batch))
        assert len(receipts) == len(batch)
        for new, receipt in zip(batch, receipts, strict=True):
            key = (new.tenant, new.dedup_key) if new.dedup_key else None
            assert receipt.duplicate == (key in self.model.keys)
            if key in self.model.keys:
                assert receipt.id == self.model.keys[key]
            else:
                assert receipt.id > max(self.model.letters, default=0)
                self.model.born(receipt.id, new, now)

    # Workers ---------------------------------------------------------------------------------------

    @precondition(lambda self: sum(worker.alive for worker in self.model.workers.values()) < 4)
    @rule(quarantine=st.sampled_from([False, False, True]))
    def a_worker_comes(self, quarantine: bool) -> None:
        worker = self._do(self.store.workers.register(card(quarantine=quarantine)))
        assert worker not in self.model.workers
        self.model.workers[worker] = Worker(quarantine, beat_at=self.clock.now())

    @precondition(lambda self: self.model.workers)
    @rule(which=mostly_recent)
    def a_worker_is_heard_of(self, which: int) -> None:
        worker = self._worker(which)
        heart = self.store.workers.heart(worker)
        try:
            heart.beat()
            assert self.model.workers[worker].alive
            self.model.workers[worker].beat_at = self.clock.now()
        except WorkerFenced:
            assert not self.model.workers[worker].alive
        finally:
            heart.close()

    @precondition(lambda self: self.model.workers)
    @rule(which=any_of)
    def a_worker_bows_out(self, which: int) -> None:
        worker = self._worker(which)
        self._do(self.store.workers.bow_out(worker))
        if self.model.workers[worker].alive:
            self.model.workers[worker].alive = False
            for letter in self.model.held_by(worker):
                self.model.ready(letter, self.clock.now())

    @rule()
    def the_dead_are_reaped(self) -> None:
        now = self.clock.now()
        silent = [id for id, worker in self.model.workers.items() if worker.alive and now - worker.beat_at > 10]
        expected = {worker: self.model.dies(worker, now) for worker in sorted(silent)}
        reaped = self._do(self.store.workers.reap())
        told = {
            one.worker: {"released": list(one.released), "quarantined": list(one.quarantined), "buried": list(one.buried)} for one in reaped
        }
        assert {worker: {fate: sorted(ids) for fate, ids in fates.items()} for worker, fates in told.items()} == expected

    @precondition(lambda self: self.model.workers)
    @rule(which=mostly_recent, limit=st.integers(1, 4))
    def a_worker_leases(self, which: int, limit: int) -> None:
        worker, now = self._worker(which), self.clock.now()
        quarantine = self.model.workers[worker].quarantine
        routes = [route for route in self._do(self.store.messages.routes()) if route.quarantine == quarantine]
        if not self.model.workers[worker].alive:
            self._refused(self.store.messages.lease(routes, limit=limit, worker=worker), WorkerFenced)
            return
        leases = self._do(self.store.messages.lease(routes, limit=limit, worker=worker))
        expected = []
        while len(expected) < limit and (letter := self.model.next_for(worker, now)) is not None:
            letter.place, letter.holder = "leased", worker
            expected.append(letter)
        assert [lease.message.id for lease in leases] == [letter.id for letter in expected]
        for lease, letter in zip(leases, expected, strict=True):
            said = (lease.worker, lease.attempt, lease.crashes, lease.waiting_since)
            assert said == (worker, letter.used + 1, letter.crashes, letter.waiting_since)
            letter.token = len(self.leases)
            self.leases.append(lease)

    # How a lease ends ------------------------------------------------------------------------------

    @precondition(lambda self: self.leases)
    @rule(which=mostly_recent)
    def a_message_is_done(self, which: int) -> None:
        lease, letter = self._lease(which)
        if self._holds(self.store.messages.done(lease, b'"good"'), letter):
            letter.used += 1
            letter.result = b'"good"'
            self.model.end(letter, "done")

    @precondition(lambda self: self.leases)
    @rule(which=mostly_recent, delay=st.sampled_from([0.0, 5.0, 60.0]), number=numbers | st.none())
    def a_message_is_retried(self, which: int, delay: float, number: int | None) -> None:
        lease, letter = self._lease(which)
        at = self.clock.now() + delay
        if self._holds(self.store.messages.retry(lease, BROKE, at=at, step=number), letter):
            self._blame(letter, number)
            letter.used += 1
            letter.failures += 1
            letter.waiting_since = None
            self.model.wait(letter, "backoff", until=at, step=number)
            self.model.totals[letter.new.queue, "retried"] += 1

    @precondition(lambda self: self.leases)
    @rule(which=any_of, uses_attempt=st.booleans(), number=numbers | st.none())
    def a_message_is_buried(self, which: int, uses_attempt: bool, number: int | None) -> None:
        lease, letter = self._lease(which)
        if self._holds(self.store.messages.bury(lease, BROKE, step=number, uses_attempt=uses_attempt), letter):
            self._blame(letter, number)
            letter.used += uses_attempt
            letter.failures += 1
            self.model.end(letter, "dead", code=BROKE.code)

    @precondition(lambda self: self.leases)
    @rule(which=mostly_recent, why=st.sampled_from(["sleep", "account", "outcome-unknown"]), number=numbers)
    def a_message_is_parked(self, which: int, why: str, number: int) -> None:
        lease, letter = self._lease(which)
        now = self.clock.now()
        wait = {
            "sleep": Wait(why="sleep", until=now + 30, step=number),
            "account": Wait(why="account", until=now + 20, open_ended=True, error=NO_CREDIT),
            "outcome-unknown": Wait(why="outcome-unknown", step=number, error=UNKNOWN),
        }[why]
        if self._holds(self.store.messages.park(lease, wait), letter):
            letter.waiting_since = None if why == "sleep" else letter.waiting_since or now
            self.model.wait(letter, why, until=wait.until, step=wait.step, open_ended=wait.open_ended)

    @precondition(lambda self: self.leases)
    @rule(which=mostly_recent)
    def a_message_is_released(self, which: int) -> None:
        lease, letter = self._lease(which)
        if self._holds(self.store.messages.release(lease), letter):
            self.model.ready(letter, self.clock.now())

    # The journal -----------------------------------------------------------------------------------

    @precondition(lambda self: self.leases)
    @rule(which=mostly_recent, number=numbers, ambiguous=st.booleans())
    def a_step_is_intended(self, which: int, number: int, ambiguous: bool) -> None:
        lease, letter = self._lease(which)
        known = letter.steps.get(number, ["new", 0, 0])
        if self._holds(self.store.journal.intend(lease, intent(number, ambiguous=ambiguous)), letter, fits=known[0] != "done"):
            letter.steps[number] = ["intent", int(str(known[1])) + 1, int(str(known[2])) + ambiguous]
            self.model.counters["possibly_paid_twice"] += ambiguous

    @precondition(lambda self: self.leases)
    @rule(which=mostly_recent, number=numbers, outcome=st.sampled_from(["record", "record", "fail", "defer"]))
    def a_step_ends(self, which: int, number: int, outcome: str) -> None:
        lease, letter = self._lease(which)
        state = letter.steps.get(number, ["new", 0, 0])[0]
        value = f'"{lease.token}/{number}"'.encode()
        if outcome == "record":
            call = self.store.journal.record(lease, number, value, memory=MemoryWrite(space="notes", key=str(number), value=value))
        elif outcome == "fail":
            call = self.store.journal.fail(lease, number, BROKE)
        else:
            call = self.store.journal.defer(lease, number, NO_CREDIT)
        if self._holds(call, letter, fits=state == "intent" or (outcome == "defer" and state == "failed")):
            letter.steps[number][0] = {"record": "done", "fail": "failed", "defer": "again"}[outcome]
            if outcome == "record":
                self.model.memory[f"{letter.new.tenant}/{number}"] = value

    @precondition(lambda self: self.leases)
    @rule(which=mostly_recent, number=numbers)
    def a_step_is_settled(self, which: int, number: int) -> None:
        lease, letter = self._lease(which)
        known = letter.steps.get(number, ["new", 0, 0])
        call = self.store.journal.settle(lease, intent(number, kind=StepKind.VALUE), b"1")
        if self._holds(call, letter, fits=known[0] != "done"):
            letter.steps[number] = ["done", int(str(known[1])) + 1, known[2]]

    @precondition(lambda self: self.model.letters)
    @rule(which=any_of, number=numbers, decision=st.sampled_from(Decision), theirs=st.booleans())
    def a_person_decides(self, which: int, number: int, decision: Decision, theirs: bool) -> None:
        letter = self._letter(which, prefer="waiting")
        tenant = letter.new.tenant if theirs else None
        call = self.store.journal.decide(letter.id, number, decision, by="key_1", result=b"7", tenant=tenant)
        if number not in letter.steps:
            self._refused(call, NotFound)
        elif letter.place != "waiting" or letter.step != number:
            self._refused(call, Conflict)
        else:
            self._do(call)
            if decision is Decision.BURY:
                self.model.end(letter, "dead", code=UNKNOWN.code)
                return
            letter.steps[number][0] = "done" if decision is Decision.HAPPENED else "again"
            letter.waiting_since = None
            self.model.ready(letter, self.clock.now())

    # People ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.letters)
    @rule(which=any_of)
    def somebody_cancels(self, which: int) -> None:
        letter = self._letter(which)
        call = self.store.messages.cancel(letter.id)
        if letter.place == "leased":
            self._refused(call, NotYetBuilt)
        elif letter.place in {"done", "dead"}:
            self._refused(call, Conflict)
        else:
            self._do(call)
            if letter.place != "cancelled":
                self.model.end(letter, "cancelled")

    @precondition(lambda self: self.model.letters)
    @rule(which=any_of)
    def somebody_revives(self, which: int) -> None:
        letter = self._letter(which, prefer="dead")
        call = self.store.messages.revive(letter.id)
        if letter.place != "dead":
            self._refused(call, Conflict)
            return
        self._do(call)
        letter.used, letter.crashes, letter.waiting_since, letter.code = 0, 0, None, None
        letter.revived += 1
        self.model.ready(letter, self.clock.now())
        self.model.totals[letter.new.queue, "revived"] += 1

    @rule(queue=st.none() | queues, resumed=st.booleans())
    def somebody_pauses_or_resumes(self, queue: str | None, resumed: bool) -> None:
        if resumed:
            self._do(self.store.messages.resume(queue))
            self.model.paused.discard(queue)
        else:
            self._do(self.store.messages.pause(queue))
            self.model.paused.add(queue)

    @rule(seconds=st.sampled_from([-5.0, 10.0, 60.0]))
    def a_lane_closes(self, seconds: float) -> None:
        until = self.clock.now() + seconds
        self._do(self.store.messages.close_lane("p/m", until=until, why="provider-rate-limited"))
        self.model.lanes["p/m"] = max(until, self.model.lanes.get("p/m", until))

    # Time ------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0, 30.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.pass_by(seconds=seconds)

    @rule()
    def somebody_tends(self) -> None:
        expected = self.model.tend(self.clock.now())
        tended = self._do(self.store.messages.tend())
        assert (tended.expired, tended.gave_up, tended.due) == expected
        moments = [letter.until for letter in self.model.letters.values() if letter.until is not None]
        assert tended.next_due_at == min(moments, default=None)

    # What is kept ----------------------------------------------------------------------------------

    @invariant()
    def every_message_is_where_the_model_has_it(self) -> None:
        views = self._do(self.store.messages.list(Filter(), limit=1000)).views
        assert [view.message.id for view in views] == sorted(self.model.letters, reverse=True)
        for view in views:
            letter = self.model.letters[view.message.id]
            seen = (view.state, view.attempt, view.crashes, view.revived, view.worker, view.result)
            used = letter.used + (letter.place == "leased")
            assert seen == (letter.place, used, letter.crashes, letter.revived, letter.holder, letter.result)
            assert (view.error and view.error.code) == letter.code
            waits = None if view.wait is None else (view.wait.why, view.wait.until, view.wait.step, view.wait.open_ended)
            assert waits == (None if letter.why is None else (letter.why, letter.until, letter.step, letter.open_ended))
            assert view.blocked_by == (self.model.obstacle(letter.route, self.clock.now()) if letter.place == "ready" else None)

    @invariant()
    def kept_numbers_are_what_can_be_counted(self) -> None:
        for status in self._do(self.store.messages.queues()):
            counted = Counter(letter.place for letter in self.model.letters.values() if letter.new.queue == status.name)
            assert {place: count for place, count in status.counts.items() if count} == counted
            totals = {name: count for (queue, name), count in self.model.totals.items() if queue == status.name}
            assert {name: count for name, count in status.totals.items() if count} == totals
            ready = [
                letter.ready_since for letter in self.model.letters.values() if letter.new.queue == status.name and letter.place == "ready"
            ]
            assert (status.oldest_ready_at is None) == (not ready)
        names = ("possibly_paid_twice", "crashes", "reaped", "refused_stale")
        counters = self._do(self.store.messages.counters())
        assert {name: counters.get(name, 0) for name in names} == {name: self.model.counters[name] for name in names}

    @invariant()
    def the_change_sequence_leads_to_where_things_are(self) -> None:
        changes = self._do(self.store.messages.changes(self._seen_change))
        numbers = [change.seq for change in changes]
        assert numbers == sorted(set(numbers))
        for id, state in {change.id: change.state for change in changes}.items():
            assert state == self.model.letters[id].place
        if changes:
            assert changes[-1].seq == self._do(self.store.messages.last_change())
            self._seen_change = changes[-1].seq

    @invariant()
    def journals_and_memory_are_as_the_model_has_them(self) -> None:
        for letter in [letter for letter in self.model.letters.values() if letter.steps]:
            steps = self._do(self.store.journal.steps(letter.id))
            assert {step.number: [step.state, step.tries, step.ambiguous] for step in steps} == letter.steps
        for letter in list(self.model.letters.values())[-3:]:
            assert len(self._do(self.store.messages.attempts(letter.id))) == letter.failures
        for place, value in self.model.memory.items():
            tenant, key = place.split("/")
            assert self._do(self.store.memory.read(tenant, "notes", key)) == value

    # How the rules are written ---------------------------------------------------------------------

    def _do(self, call: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(call)

    def _refused(self, call: Coroutine[Any, Any, object], error: type[PerdureError]) -> None:
        try:
            self._do(call)
        except error:
            return
        raise AssertionError(f"it was not refused with {error.__name__}")

    def _holds(self, call: Coroutine[Any, Any, None], letter: Letter, *, fits: bool = True) -> bool:
        """Make a call with the lease chosen last; True if it was rightly accepted."""
        if letter.place != "leased" or letter.token != self._chosen:
            self._refused(call, LeaseLost)
            self.model.counters["refused_stale"] += 1
            return False
        if not fits:
            self._refused(call, Conflict)
            return False
        self._do(call)
        return True

    def _lease(self, which: int) -> tuple[Lease, Letter]:
        self._chosen = -1 - which % len(self.leases) + len(self.leases)
        lease = self.leases[self._chosen]
        return lease, self.model.letters[lease.message.id]

    def _worker(self, which: int) -> WorkerId:
        return sorted(self.model.workers)[-1 - which % len(self.model.workers)]

    def _letter(self, which: int, *, prefer: str | None = None) -> Letter:
        ids: list[MessageId] = [id for id, letter in self.model.letters.items() if letter.place == prefer] or list(self.model.letters)
        return self.model.letters[ids[which % len(ids)]]

    def _blame(self, letter: Letter, number: int | None) -> None:
        if number in letter.steps and letter.steps[number][0] == "failed":
            letter.steps[number][0] = "again"


def _at(new: NewMessage, now: float) -> NewMessage:
    fields = {name: getattr(new, name) for name in new.__struct_fields__}
    fields["due_at"] = None if new.due_at is None else now + new.due_at
    fields["deadline"] = None if new.deadline is None else now + new.deadline
    return NewMessage(**fields)
