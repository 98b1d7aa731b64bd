"""One write transaction, in which the calls of many callers are committed together.

What every call would write again and again - numbers drawn, changes, kept counts - is gathered here and
written once, just before the commit. Events are kept until after it.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from perdure.clock import Moment
from perdure.messages.message import Move, State, after
from perdure.security.audit import Actor, details_text
from perdure.stores.sql.gates import Gates
from perdure.stores.sql.names import Left, Names, Numbers, RouteRow
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.tags import TagMemory, Tags

__all__ = ["Transaction", "sees_latest"]

_encode = msgspec.json.Encoder().encode
_SEQUENCE, _ADVANCE = statement("sequence_get"), statement("sequence_set")
_CHANGE, _CHANGES = statement("change_add"), statement("changes_add")
_KEEP, _KEEP_THREE = statement("kept_set"), statement("kept_set_three")
_COUNT, _AUDIT = statement("counter_add"), statement("audit_add")
_TOTALS = {
    Move.FINISH: "done",
    Move.BURY: "dead",
    Move.CANCEL: "cancelled",
    Move.RETRY: "retried",
    Move.REVIVE: "revived",
    Move.RECALL: "revived",
}
_TOLD = {
    Move.LEASE: "message.leased",
    Move.FINISH: "message.done",
    Move.RETRY: "message.retried",
    Move.PARK: "message.parked",
    Move.ASK: "message.parked",
    Move.RELEASE: "message.released",
    Move.WAKE: "message.woken",
    Move.HOLD: "message.held",
    Move.ADMIT: "message.admitted",
    Move.BURY: "message.dead",
    Move.CANCEL: "message.cancelled",
    Move.REVIVE: "message.revived",
    Move.RECALL: "message.revived",
}
_Marks = tuple[Any, ...]
_LONE_PUT = 3
_Kind = tuple[str, State | None, State | None, str | None]
"""A kind of move: in which queue, from where, to where, and which total it adds to."""


_F = TypeVar("_F", bound=Callable[..., Any])


def sees_latest(fn: _F) -> _F:
    """Mark a function whose later statements must see what others have committed since it began.

    Where there is one writer that is always so. With many, a function otherwise sees the store as of the moment it
    began; one that first waits for a row and then looks for what its holder has written needs more.

    Args:
        fn (_F): Called with a transaction.

    Returns:
        _F: The same.
    """
    fn.sees_latest = True  # type: ignore[attr-defined]
    return fn


class _Change(NamedTuple):
    seq: int
    id: int
    route: RouteRow
    was: State | None
    state: State
    total: str | None


class Transaction:
    """What is being committed. Used by the writer's thread alone.

    Args:
        run (Run): Executes a statement in it.
        run_many (Run): The same for many rows of parameters.
        names (Names): Its routes and tenants.
        now (Moment): The store's time, the same for all that is committed together.
        undisturbed (bool): Nobody else has written since the last transaction of these names was committed.
    """

    takes_rows_as_text = True
    """Whether many rows go down as one text, and are taken apart there."""
    bite: int = 1000
    """So many messages are moved at once by who goes through many."""
    settling_s: float = 0.0
    """How long after a limit has been set somebody may still put who has not heard of it."""

    def __init__(self, run: Run, run_many: Run, names: Names, now: Moment, *, undisturbed: bool = False) -> None:
        self.run: Run = run
        self.run_many: Run = run_many
        self.names = names
        self.now = now
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._caps = 0
        self._settled = False
        self._written: Numbers = (0, 0, 0, 0, 0)
        left, names.left = names.left if undisturbed else None, None
        if left is None:
            self._begun = self._begin()
        else:
            self._begun, self._written, self._caps = left.numbers, left.written, left.caps
        self.tags: Tags = self._tags(None if left is None else left.tags)
        self.gates: Gates = Gates(run, names, self._limits)
        self.last: int
        self.change: int
        self.taken: int
        self.worker: int
        self.all_paused: int
        self.last, self.change, self.taken, self.worker, self.all_paused = self._begun
        self._changes: list[_Change] = []
        self._moves: dict[_Kind, int] = {}
        self._floor = int(now * 1000) << 20
        self._counts: dict[str, int] = {}

    def number(self) -> int:
        """Draw the next of the one growing sequence that ids, tags and tokens come from.

        Returns:
            int: Larger than any before, in whichever process; later times give larger ones.
        """
        self.last = max(self.last + 1, self._floor)
        return self.last

    def worker_number(self) -> int:
        """Draw a number for a worker.

        Returns:
            int: Nobody else has it.
        """
        self.worker += 1
        return self.worker

    def turn(self) -> int:
        """Tell the how many-th of all messages ever leased the next one is.

        Returns:
            int: From 1.
        """
        return self.taken + 1

    def took(self) -> None:
        """Note that one more has been leased."""
        self.taken += 1

    def is_all_paused(self) -> bool:
        """Tell whether everything is paused.

        Returns:
            bool: By the big switch.
        """
        return bool(self.all_paused)

    def pause_all(self, *, paused: bool) -> None:
        """Turn the big switch.

        Args:
            paused (bool): Whether everything is paused from now on.
        """
        self.all_paused = int(paused)

    def alone(self) -> bool:
        """Make sure that nobody else tends at the same time.

        Returns:
            bool: False: somebody does. True here: nobody else writes at all.
        """
        return True

    def fold(self) -> None:
        """Bring kept numbers up to date, in an engine that keeps them aside; here each commit does."""

    def born(self, id: int, route: RouteRow, state: State, facts: dict[str, Any] | None) -> None:
        """Note that a message has come into being.

        Args:
            id (int): Which.
            route (RouteRow): Its route.
            state (State): Where it begins.
            facts (dict[str, Any] | None): What to tell of it; None tells nothing.
        """
        self.change += 1
        self._changes.append(_Change(self.change, id, route, None, state, "put"))
        self._moved(route.queue, None, state, "put")
        if facts is not None:
            self.events.append(("message.put", facts))

    def move(self, id: int, route: RouteRow, state: State, move: Move, facts: dict[str, Any] | None = None, *, held: bool = False) -> State:
        """Note that a message moves; where to, `MOVES` says.

        Args:
            id (int): Which.
            route (RouteRow): Its route.
            state (State): Where it was.
            move (Move): What happens to it.
            facts (dict[str, Any] | None): What to tell of it; None tells nothing.
            held (bool): Whether it is held where it would be ready.

        Returns:
            State: Where it is then.
        """
        new = after(state, move, held=held)
        self.change += 1
        self._changes.append(_Change(self.change, id, route, state, new, _TOTALS.get(move)))
        self._moved(route.queue, state, new, _TOTALS.get(move))
        if facts is not None and move in _TOLD:
            self.events.append((_TOLD[move], facts))
        return new

    def move_all(self, places: Sequence[tuple[int, RouteRow]], state: State, move: Move) -> None:
        """Note that many messages move alike; what is told of them is left to the caller.

        Args:
            places (Sequence[tuple[int, RouteRow]]): Which, and on which routes.
            state (State): Where they were.
            move (Move): What happens to them.
        """
        new, total = after(state, move), _TOTALS.get(move)
        for seq, (message, route) in enumerate(places, self.change + 1):
            self._changes.append(_Change(seq, message, route, state, new, total))
        self.change += len(places)
        for queue, n in Counter(route.queue for _, route in places).items():
            self._moved(queue, state, new, total, n)

    def noted(self, id: int, route: RouteRow, state: State) -> None:
        """Have whoever follows changes look at a message that has not moved.

        Args:
            id (int): Which.
            route (RouteRow): Its route.
            state (State): Where it is.
        """
        self.change += 1
        self._changes.append(_Change(self.change, id, route, state, state, None))

    def gone(self, route: RouteRow, state: State, total: str | None = None) -> None:
        """Note that a message has left the store, with all it owned.

        Args:
            route (RouteRow): Its route.
            state (State): Where it was.
            total (str | None): The total it adds to.
        """
        self._moved(route.queue, state, None, total)

    def audit(self, by: Actor | None, action: str, target: str, **details: Any) -> None:
        """Write into the audit log, in the same commit.

        Args:
            by (Actor | None): Who does it; None is nobody, and nothing is written.
            action (str): What: `queue.pause`.
            target (str): To which one.
            **details (Any): More; None is left out, and what looks like a secret struck out.
        """
        if by is not None:
            self.run(_AUDIT, (self.now, by.who, action, target, by.request_id, details_text(details)))

    def total(self, route: RouteRow, name: str) -> None:
        """Add one to a total of a queue.

        Args:
            route (RouteRow): One of its routes.
            name (str): For example `crashed`.
        """
        self._moved(route.queue, None, None, name)

    def count(self, name: str, n: int = 1) -> None:
        """Add to a total of the installation.

        Args:
            name (str): For example `refused_stale`.
            n (int): How many.
        """
        if n:
            self._counts[name] = self._counts.get(name, 0) + n

    def tell(self, event: str, **facts: Any) -> None:
        """Keep an event until after the commit.

        Args:
            event (str): Its name.
            **facts (Any): What is told.
        """
        self.events.append((event, facts))

    def flush(self) -> None:
        """Write what was gathered."""
        if self._changes:
            self._write_changes()
        self._write_kept()
        for name, n in self._counts.items():
            self.run(_COUNT, (name, n))
        self.gates.flush()
        now = (self.last, self.change, self.taken, self.worker, self.all_paused)
        if (now != self._begun and not self._only_put(now)) or (self._settled and now != self._written):
            self.run(_ADVANCE, now)
            self._written = now
        self.names.left = Left(now, self._written, self.gates.version(self._caps), self.tags.memory())

    def _write_changes(self) -> None:
        if len(self._changes) == 1:
            [one] = self._changes
            self.run(_CHANGE, (one.seq, one.id, one.state, self.now))
            return
        rows = [(one.seq, one.id, one.state) for one in self._changes]
        self.run(_CHANGES, (_encode(rows).decode(), self.now))

    def _write_kept(self) -> None:
        rows: list[tuple[Any, ...]] = [("tally", *tally, 0, n) for tally, n in self._tallies().items() if n]
        rows += [("fair", *line, last) for line, last in self.tags.flush()]
        if len(rows) == _LONE_PUT:
            self.run(_KEEP_THREE, rows[0] + rows[1] + rows[2])
        else:
            self.run_many(_KEEP, rows)

    def _only_put(self, now: Numbers) -> bool:
        """What was drawn can be read from the rows that came into being, the newest of which has the newest number."""
        if now[2:] != self._begun[2:] or not self._changes:
            return False
        return self._changes[-1].id == self.last and all(one.was is None for one in self._changes)

    def settle(self) -> None:
        """Have all numbers written down: rows from which some of them could be read are about to go."""
        self._settled = True

    def marks(self) -> _Marks:
        """Remember what is gathered so far, before a call that may have to be taken back alone.

        Returns:
            _Marks: For `back_to`.
        """
        numbers = (self.last, self.change, self.taken, self.worker, self.all_paused)
        gathered = copy.copy(self._moves), copy.copy(self._counts), self.tags.marks(), self.gates.marks()
        return numbers, len(self.events), len(self._changes), *gathered

    def back_to(self, marks: _Marks) -> None:
        """Forget what a call that failed had gathered.

        Args:
            marks (_Marks): From before it.
        """
        numbers, events, changes, self._moves, self._counts, tags, gates = marks
        self.tags.back_to(tags)
        self.gates.back_to(gates)
        self.last, self.change, self.taken, self.worker, self.all_paused = numbers
        del self.events[events:], self._changes[changes:]

    def _begin(self) -> Numbers:
        last, change, taken, worker, all_paused, self._caps, message, seq = self.run(_SEQUENCE).get
        self._written = (last, change, taken, worker, all_paused)
        return max(last, message or 0), max(change, seq or 0), taken, worker, all_paused

    def _tags(self, memory: TagMemory | None, /) -> Tags:
        return Tags(self.run, memory)

    def _limits(self) -> int:
        """The version of the limits; those who put see them at once here."""
        return self._caps

    def _moved(self, queue: str, state: State | None, new: State | None, total: str | None, n: int = 1) -> None:
        kind = (queue, state, new, total)
        self._moves[kind] = self._moves.get(kind, 0) + n

    def _tallies(self) -> dict[tuple[str, str, str], int]:
        tallies: dict[tuple[str, str, str], int] = {}
        for (queue, state, new, total), n in self._moves.items():
            for kind, name, more in (("now", state, -n), ("now", new, n), ("ever", total, n)):
                if name is not None:
                    tally = (queue, kind, name)
                    tallies[tally] = tallies.get(tally, 0) + more
        return tallies
