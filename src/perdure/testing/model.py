"""A second opinion: what a store must do, said as briefly as possible and apart from any store.

Plain dicts, no table of moves, no shared rules: where this and a store disagree, one of the two is
wrong. It knows what `StoreMachine` does and no more: one agent, two queues, one lane, two tenants.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from perdure.clock import Moment
from perdure.messages.message import MessageId, NewMessage, WorkerId
from perdure.testing.clock import FakeClock
from perdure.testing.turns import Turns

__all__ = ["Letter", "StoreModel", "Worker"]


@dataclass
class Letter:
    """A message as the model sees it."""

    id: MessageId
    new: NewMessage
    place: str
    tag: int
    ready_since: Moment
    urgency: int = 0
    gates: list[Any] = field(default_factory=list)
    """The limits it counts under while it is ready or leased."""
    held_by: Any = None
    """`session`, or the limit."""
    held_since: Moment = 0.0
    until: Moment | None = None
    why: str | None = None
    step: int | None = None
    open_ended: bool = False
    waiting_since: Moment | None = None
    token: int | None = None
    holder: WorkerId | None = None
    used: int = 0
    crashes: int = 0
    results_at_crash: int = 0
    revived: int = 0
    failures: int = 0
    called_off: bool = False
    code: str | None = None
    result: bytes | None = None
    events: tuple[str, ...] = ()
    signals: Counter[str] = field(default_factory=Counter)
    """Those that no step has taken, by name."""
    steps: dict[int, list[Any]] = field(default_factory=dict)
    """Number to state, tries, ambiguous."""

    @property
    def route(self) -> tuple[str, str | None, bool]:
        """Queue, lane, quarantine."""
        return (self.new.queue, self.new.lane, self.crashes >= 2)


@dataclass
class Worker:
    """A worker as the model sees it."""

    quarantine: bool
    beat_at: Moment
    alive: bool = True


class StoreModel:
    """All that the model knows.

    Args:
        clock (FakeClock): The store's time.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.letters: dict[MessageId, Letter] = {}
        self.workers: dict[WorkerId, Worker] = {}
        self.keys: dict[tuple[str, str], MessageId] = {}
        self.paused: set[str | None] = set()
        self.lanes: dict[str, Moment] = {}
        self.blocked: dict[tuple[str, str | None, bool], Moment] = {}
        self.routes: dict[tuple[str, str | None, bool], None] = {}
        self.memory: dict[str, bytes] = {}
        self.totals: Counter[tuple[str, str]] = Counter()
        self.counters: Counter[str] = Counter()
        self.taken: int = 0
        self.turns: Turns = Turns(self.letters, self.blocked)

    @property
    def now(self) -> Moment:
        """The store's time."""
        return self._clock.now()

    # Where messages go -----------------------------------------------------------------------------

    def born(self, id: MessageId, new: NewMessage, now: Moment) -> None:
        """A message was put.

        Args:
            id (MessageId): The id it got.
            new (NewMessage): What was put.
            now (Moment): When.
        """
        delayed = new.due_at is not None and new.due_at > now
        letter = Letter(id, new, "later", tag=0, ready_since=now, urgency=new.priority)
        if delayed:
            letter.until, letter.why = new.due_at, "delay"
        if self.turns.is_next(letter, now) and not delayed:
            self.turns.enter(letter, now, again=False)
        self.letters[id] = letter
        self.routes.setdefault(letter.route)
        self.totals[new.queue, "put"] += 1
        if new.dedup_key is not None:
            self.keys[new.tenant, new.dedup_key] = id

    def ready(self, letter: Letter, now: Moment) -> None:
        """A message may run, when it is its turn.

        Args:
            letter (Letter): Which.
            now (Moment): When.
        """
        had = self._leave(letter)
        letter.place = "arriving"
        if self.turns.is_next(letter, now):
            self.turns.enter(letter, now, had=had)
        self.routes.setdefault(letter.route)
        self.turns.admit((gate for gate in had if gate not in letter.gates), now)

    def wait(
        self,
        letter: Letter,
        why: str,
        *,
        until: Moment | None = None,
        step: int | None = None,
        open_ended: bool = False,
        events: tuple[str, ...] = (),
    ) -> None:
        """A message waits.

        Args:
            letter (Letter): Which.
            why (str): For what.
            until (Moment | None): When that ends, if known.
            step (int | None): Its step that waits.
            open_ended (bool): Whether it has no stated end although there is a moment.
            events (tuple[str, ...]): What ends it besides.
        """
        had = self._leave(letter)
        letter.place = "waiting" if until is None or events else "later"
        letter.until, letter.why, letter.step, letter.open_ended, letter.events = until, why, step, open_ended, events
        self.turns.admit(had, self.now)

    def end(self, letter: Letter, place: str, *, code: str | None = None) -> None:
        """A message has ended.

        Args:
            letter (Letter): Which.
            place (str): `done`, `dead` or `cancelled`.
            code (str | None): Why it is dead.
        """
        had = self._leave(letter)
        letter.place, letter.code, letter.held_by = place, code, None
        self.totals[letter.new.queue, place] += 1
        self.turns.admit(had, self.now)
        self.turns.goes(letter, self.now)

    def _leave(self, letter: Letter) -> list[Any]:
        had, letter.gates = letter.gates, []
        letter.until, letter.why, letter.step, letter.open_ended, letter.token, letter.holder = None, None, None, False, None, None
        letter.called_off, letter.events = False, ()
        return had

    # What may start --------------------------------------------------------------------------------

    def obstacle(self, route: tuple[str, str | None, bool], now: Moment) -> str | None:
        """Say what stands against a route.

        Args:
            route (tuple[str, str | None, bool]): Which.
            now (Moment): When.

        Returns:
            str | None: As `View.blocked_by`.
        """
        queue, lane, quarantine = route
        if None in self.paused:
            return "all-paused"
        if queue in self.paused:
            return "queue-paused"
        if not any(worker.alive and worker.quarantine == quarantine for worker in self.workers.values()):
            return "quarantine" if quarantine else "no-worker"
        if lane is not None and self.lanes.get(lane, now) > now:
            return "lane-closed"
        return None

    def next_for(self, worker: WorkerId, now: Moment) -> Letter | None:
        """Choose what a worker takes next, and count it as taken.

        Args:
            worker (WorkerId): Who.
            now (Moment): When.

        Returns:
            Letter | None: None if there is nothing for it.
        """
        there = [
            letter
            for letter in self.letters.values()
            if letter.place == "ready" and letter.route[2] == self.workers[worker].quarantine and self.obstacle(letter.route, now) is None
        ]
        if not there:
            return None
        self.taken += 1
        if self.taken % 16 == 0:
            return min(there, key=lambda letter: letter.id)
        letter = min(there, key=lambda letter: (letter.urgency, letter.tag, letter.id))
        self.turns.clocks[letter.urgency] = max(self.turns.clocks[letter.urgency], letter.tag)
        return letter

    # What time and death do ------------------------------------------------------------------------

    def tend(self, now: Moment) -> tuple[int, int, int]:
        """Do what time demands.

        Args:
            now (Moment): When.

        Returns:
            tuple[int, int, int]: How many expired, were given up, became due.
        """
        for route in self.routes:
            if self.obstacle(route, now) is None:
                self.blocked.pop(route, None)
            else:
                self.blocked.setdefault(route, now)
        self.turns.tend(now)
        late = [letter for letter in self._idle() if letter.new.deadline is not None and letter.new.deadline <= now]
        for letter in sorted(late, key=lambda letter: (letter.new.deadline, letter.id)):
            self.end(letter, "dead", code="deadline-passed")
        tired = 0
        for places in ({"later", "waiting"}, {"held"}, {"ready"}):  # who ends lets others in, which ends their waiting
            there = [letter for letter in self._idle() if letter.place in places and self._tired(letter, now)]
            for letter in sorted(there, key=self._by_patience):
                if letter.place in places and self._tired(letter, now):
                    self.end(letter, "dead", code="provider-billing" if letter.open_ended else "waited-too-long")
                    tired += 1
        due = [letter for letter in self._idle() if letter.place != "held" and letter.until is not None and letter.until <= now]
        for letter in sorted(due, key=lambda letter: (letter.until, letter.id)):
            self.ready(letter, now)
        return len(late), tired, len(due)

    def _by_patience(self, letter: Letter) -> tuple[float, int]:
        if letter.place == "ready":
            return (list(self.routes).index(letter.route), letter.id)
        since = letter.held_since if letter.place == "held" else letter.waiting_since
        return ((since or 0.0) + letter.new.max_wait_s, letter.id)

    def _idle(self) -> list[Letter]:
        return [letter for letter in self.letters.values() if letter.place in {"ready", "later", "waiting", "held"}]

    def _tired(self, letter: Letter, now: Moment) -> bool:
        if letter.place == "held":
            return letter.held_since + letter.new.max_wait_s <= now
        if letter.place == "ready":
            since = self.blocked.get(letter.route)
            return since is not None and max(since, letter.ready_since) + letter.new.max_wait_s <= now
        endless = letter.until is None or letter.open_ended
        return endless and letter.waiting_since is not None and letter.waiting_since + letter.new.max_wait_s <= now

    def held_by(self, worker: WorkerId) -> list[Letter]:
        """List what a worker has.

        Args:
            worker (WorkerId): Who.

        Returns:
            list[Letter]: In the order of putting.
        """
        held = [letter for letter in self.letters.values() if letter.place == "leased" and letter.holder == worker]
        return sorted(held, key=lambda letter: letter.id)

    def dies(self, worker: WorkerId, now: Moment) -> dict[str, list[MessageId]]:
        """A worker is declared dead.

        Args:
            worker (WorkerId): Who.
            now (Moment): When.

        Returns:
            dict[str, list[MessageId]]: What became of what it had: released, quarantined, buried.
        """
        fates: dict[str, list[MessageId]] = {"released": [], "quarantined": [], "buried": [], "cancelled": []}
        self.workers[worker].alive = False
        self.counters["reaped"] += 1
        for letter in self.held_by(worker):
            if letter.called_off:
                self._crashed(letter)
                self.end(letter, "cancelled")
                fates["cancelled"].append(letter.id)
                continue
            results = sum(step[0] == "done" for step in letter.steps.values())
            letter.crashes = 0 if results > letter.results_at_crash else letter.crashes + 1
            letter.results_at_crash = results
            self._crashed(letter)
            if letter.crashes == 3:
                self.end(letter, "dead", code="poison")
                fates["buried"].append(letter.id)
            else:
                self.ready(letter, now)
                fates["quarantined" if letter.crashes == 2 else "released"].append(letter.id)
        return fates

    def _crashed(self, letter: Letter) -> None:
        letter.failures += 1
        self.totals[letter.new.queue, "crashed"] += 1
        self.counters["crashes"] += 1

    def back(self, letter: Letter, now: Moment) -> None:
        """A message is given back by who had it.

        Args:
            letter (Letter): Which.
            now (Moment): When.
        """
        if letter.called_off:
            self.end(letter, "cancelled")
        else:
            self.ready(letter, now)
