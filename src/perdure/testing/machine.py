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
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from perdure.agents.journal import Decision
from perdure.messages.limits import Scope
from perdure.messages.message import ENDS, Lease, NewMessage, WorkerId
from perdure.messages.store import Filter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.deeds import Deeds
from perdure.testing.happenings import Day, at, happenings, new_messages
from perdure.testing.model import Letter, StoreModel

_LIMITS = [(Scope.TENANT, "acme"), (Scope.QUEUE, "mail"), (Scope.AGENT, "mail"), (Scope.KEY, "default")]

__all__ = ["StoreMachine"]


class StoreMachine(RuleBasedStateMachine):
    """Subclass it with `open_store`; its `TestCase` is the test."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._scratch = tempfile.TemporaryDirectory(prefix="perdure-machine-")
        self.folder: Path = Path(self._scratch.name)
        clock = FakeClock()
        self.store: Store = self._loop.run_until_complete(self.open_store(clock).__aenter__())
        self.deeds: Deeds = Deeds(self.store, clock, self._loop)
        self.model: StoreModel = self.deeds.model
        self._seen_change = 0

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
        self._loop.run_until_complete(self.store.__aexit__(None, None, None))
        self._loop.close()
        self._scratch.cleanup()

    # What happens: one rule for all, since hypothesis leaves rules out by chance and then nothing ever happens

    @initialize(drawn=st.lists(new_messages(), max_size=8))
    def there_is_work(self, drawn: list[NewMessage]) -> None:
        self.deeds.comes(quarantine=False)
        self._people_put(drawn)

    @rule(what=happenings())
    def it_happens(self, what: tuple[str, dict[str, Any]]) -> None:
        name, facts = what
        getattr(self, f"_{name}")(**facts)

    def _people_put(self, drawn: list[NewMessage]) -> None:
        if sum(letter.place not in ENDS for letter in self.model.letters.values()) < 8:
            self.deeds.put([at(new, self.deeds.clock.now()) for new in drawn])

    def _workers_take(self, which: int, limit: int, fresh: bool, days: list[Day]) -> None:
        quarantine = any(letter.place == "ready" and letter.route[2] for letter in self.model.letters.values()) and which % 2 == 0
        alive = [worker for worker in self._living() if self.model.workers[worker].quarantine == quarantine]
        if not alive or (fresh and len(alive) < 3):
            alive = [self.deeds.comes(quarantine=quarantine)]
        taken = len(self.deeds.leases)
        self.deeds.lease(alive[which % len(alive)], limit)
        for lease, day in zip(self.deeds.leases[taken:], days, strict=False):
            self._lives(lease, day)

    def _a_run_goes_on(self, which: int, day: Day) -> None:
        """Mostly one whose lease is held; else with a stale lease, of a message that another holds if there is one."""
        leases = self.deeds.leases
        held = {letter.token for letter in self.model.letters.values() if letter.token is not None}
        taken = {leases[token].message.id for token in held}
        stale = [n for n in range(len(leases)) if n not in held]
        retaken = [n for n in stale if leases[n].message.id in taken]
        places = (sorted(held) if which % 4 else retaken) or stale or sorted(held)
        if places:
            self._lives(leases[places[which // 4 % len(places)]], day)

    def _time_passes(self, seconds: float, silent: str, reaped: bool, tended: bool) -> None:
        """Those who are not silent are heard of afterwards; then somebody looks after things, or nobody does."""
        self.deeds.clock.pass_by(seconds=seconds)
        for worker in {"nobody": self._living(), "one": self._living()[1:], "all": []}[silent]:
            self.deeds.beats(worker)
        if reaped:
            self.deeds.reap()
        if tended:
            self.deeds.tend()

    def _a_dead_worker_wakes(self, which: int) -> None:
        dead = sorted(self.model.workers.keys() - set(self._living()))
        if dead:
            worker = dead[-1 - which % len(dead)]
            self.deeds.beats(worker)
            self.deeds.lease(worker, 2)

    def _somebody_changes_what_may_start(self, which: int, act: str, queue: str | None) -> None:
        if act == "pause" and not self.model.paused:
            self.deeds.pause(queue)
        elif act == "close-lane":
            self.deeds.close_lane("p/m", seconds=float(which % 4) * 20 - 5)
        elif act == "limit":
            scope, name = _LIMITS[which % len(_LIMITS)]
            self.deeds.set_limit(scope, name, 1 + which // 4 % 3)
        elif act == "lift":
            self.deeds.drop_limit(*_LIMITS[which % len(_LIMITS)])
        elif act == "bow-out" and self._living():
            self.deeds.bows_out(self._living()[which % len(self._living())])
        else:
            for paused in [queue, *self.model.paused]:
                self.deeds.resume(paused)

    def _a_person_acts(self, which: int, act: str, number: int, decision: Decision) -> None:
        if not self.model.letters:
            return
        if act == "cancel":
            self.deeds.cancel(self._letter(which, prefer="leased" if which % 2 else None))
        elif act == "signal":
            self.deeds.is_signalled(self._letter(which, prefer="waiting"), "ab"[number % 2])
        elif act == "revive":
            self.deeds.revive(self._letter(which, prefer="dead"))
        else:
            letter = self._letter(which, prefer="waiting")
            self.deeds.decide(letter, number if which % 4 == 0 else letter.step or number, decision)

    # What is kept ----------------------------------------------------------------------------------

    @invariant()
    def every_message_is_where_the_model_has_it(self) -> None:
        views = self.deeds.do(self.store.messages.list(Filter(), limit=1000)).views
        assert [view.message.id for view in views] == sorted(self.model.letters, reverse=True)
        for view in views:
            letter = self.model.letters[view.message.id]
            seen = (view.state, view.attempt, view.crashes, view.revived, view.worker, view.cancelling, view.result)
            used = letter.used + (letter.place == "leased")
            assert seen == (letter.place, used, letter.crashes, letter.revived, letter.holder, letter.called_off, letter.result)
            assert (view.error and view.error.code) == letter.code
            waits = None if view.wait is None else (view.wait.why, view.wait.until, view.wait.step, view.wait.open_ended)
            assert waits == (None if letter.why is None else (letter.why, letter.until, letter.step, letter.open_ended))
            assert view.held_by == self.model.turns.said_to_hold(letter)
            can_be = letter.place == "ready" or (letter.place == "held" and letter.held_by != "session")
            assert view.blocked_by == (self.model.obstacle(letter.route, self.deeds.clock.now()) if can_be else None)

    @invariant()
    def kept_numbers_are_what_can_be_counted(self) -> None:
        for status in self.deeds.do(self.store.messages.queues()):
            counted = Counter(letter.place for letter in self.model.letters.values() if letter.new.queue == status.name)
            assert {place: count for place, count in status.counts.items() if count} == counted
            totals = {name: count for (queue, name), count in self.model.totals.items() if queue == status.name}
            assert {name: count for name, count in status.totals.items() if count} == totals
            ready = [
                letter.ready_since for letter in self.model.letters.values() if letter.new.queue == status.name and letter.place == "ready"
            ]
            assert (status.oldest_ready_at is None) == (not ready)
        names = ("possibly_paid_twice", "crashes", "reaped", "refused_stale")
        counters = self.deeds.do(self.store.messages.counters())
        assert {name: counters.get(name, 0) for name in names} == {name: self.model.counters[name] for name in names}

    @invariant()
    def no_limit_holds_more_or_fewer_than_it_says(self) -> None:
        turns = self.model.turns
        statuses = self.deeds.do(self.store.messages.limits())
        assert {(one.limit.scope, one.limit.name): one.limit.at_once for one in statuses} == turns.limits
        for one in statuses:
            mine = (one.limit.scope, one.limit.name)
            letters = self.model.letters.values()
            assert one.used == sum(gate[:2] == mine for letter in letters for gate in letter.gates)
            assert one.held == sum(letter.place == "held" and letter.held_by[:2] == mine for letter in letters)

    @invariant()
    def the_change_sequence_leads_to_where_things_are(self) -> None:
        changes = self.deeds.do(self.store.messages.changes(self._seen_change))
        numbers = [change.seq for change in changes]
        assert numbers == sorted(set(numbers))
        for id, state in {change.id: change.state for change in changes}.items():
            assert state == self.model.letters[id].place
        if changes:
            assert changes[-1].seq == self.deeds.do(self.store.messages.last_change())
            self._seen_change = changes[-1].seq

    @invariant()
    def journals_and_memory_are_as_the_model_has_them(self) -> None:
        for letter in [letter for letter in self.model.letters.values() if letter.steps]:
            steps = self.deeds.do(self.store.journal.steps(letter.id))
            assert {step.number: [step.state, step.tries, step.ambiguous] for step in steps} == letter.steps
        for letter in list(self.model.letters.values())[-3:]:
            assert len(self.deeds.do(self.store.messages.attempts(letter.id))) == letter.failures
        for place, value in self.model.memory.items():
            tenant, key = place.split("/")
            assert self.deeds.do(self.store.memory.read(tenant, "notes", key)) == value

    # How the rules choose --------------------------------------------------------------------------

    def _lives(self, lease: Lease, day: Day) -> None:
        letter = self.model.letters[lease.message.id]
        written, end = day
        for write, number, twice in written:
            self._write(lease, letter, write, number, twice=twice)
        number = written[-1][1] if written else 1
        if end == "done":
            self.deeds.is_done(lease, letter)
        elif end in {"retry", "retry-at-once"}:
            self.deeds.is_retried(lease, letter, number, delay=0.0 if end == "retry-at-once" else 8.0)
        elif end in {"bury", "give-up"}:
            self.deeds.is_buried(lease, letter, number, uses_attempt=end == "bury")
        elif end == "release":
            self.deeds.is_released(lease, letter)
        elif end is not None:
            self.deeds.is_parked(lease, letter, number, why=end)

    def _write(self, lease: Lease, letter: Letter, write: str, number: int, *, twice: bool) -> None:
        state = letter.steps.get(number, ["new", 0, 0])[0]
        if write == "obtain":
            self.deeds.is_obtained(lease, letter, number, "ab"[twice])
        elif write == "settle":
            self.deeds.is_settled(lease, letter, number)
        elif write == "intend" or state == "new":
            self.deeds.is_begun(lease, letter, number, ambiguous=twice)
        else:
            self.deeds.is_ended(lease, letter, number, write)

    def _living(self) -> list[WorkerId]:
        return sorted(worker for worker, seen in self.model.workers.items() if seen.alive)

    def _letter(self, which: int, *, prefer: str | None = None) -> Letter:
        letters = list(self.model.letters.values())
        preferred = [letter for letter in letters if letter.place == prefer] or letters
        return preferred[which % len(preferred)]
