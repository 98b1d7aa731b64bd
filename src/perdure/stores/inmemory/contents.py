"""Everything an in-memory store knows, and the few things its views do to it together.

Theory of operation: one lock, one `Contents`. A message is a row whose place changes only by `move`,
which asks `MOVES`. Nothing is prepared for speed: a lease sorts what is ready and a listing walks all
rows, because this store is the one that others are compared with and must be seen to be right.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from perdure.agents.journal import Step, StepKind
from perdure.clock import Clock, Moment
from perdure.errors.base import LeaseLost, NotFound, StoreClosed
from perdure.errors.patterns import KeptLine
from perdure.events import tell
from perdure.messages.batches import Batch
from perdure.messages.calls import KeptAnswer
from perdure.messages.dead_letters import Edited
from perdure.messages.files import File, NewFile
from perdure.messages.ids import write
from perdure.messages.limits import GateName
from perdure.messages.message import ENDS, HELD_INSTEAD, Lease, MessageId, Move, State, Wait, WorkerId, after
from perdure.messages.registry import AgentCard
from perdure.messages.responses import KeptResponse
from perdure.messages.schedules import Schedule
from perdure.messages.spending import Account, Budget, Entry
from perdure.messages.store import Change, Pause
from perdure.monitor.measures import Series
from perdure.providers.health import Health
from perdure.resources.usage import Usage
from perdure.security.audit import Actor, Deed, details_text
from perdure.security.keys import Key
from perdure.stores.inmemory.flow import Flow, delay
from perdure.stores.inmemory.kin import Kin
from perdure.stores.inmemory.rows import RouteKey, RouteRow, Row, WorkerRow

__all__ = ["BatchRow", "CallRow", "Contents", "FileRow"]

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


@dataclass(slots=True)
class CallRow:
    """A call with a key of its caller's own."""

    fingerprint: bytes
    token: int = 0
    until: Moment = 0.0
    unsure: bool = False
    at: Moment = 0.0
    answer: KeptAnswer | None = None


@dataclass(slots=True)
class FileRow:
    """A file, whole or not."""

    new: NewFile
    created_at: Moment
    goes_at: Moment | None
    state: str = "open"
    pieces: list[bytes] = field(default_factory=list)

    def is_there(self, now: Moment) -> bool:
        """Tell whether it can be seen.

        Args:
            now (Moment): The store's time.

        Returns:
            bool: Once it is whole, until it expires.
        """
        return self.state == "kept" and (self.goes_at is None or self.goes_at > now)

    def seen(self) -> File:
        """Show it.

        Returns:
            File: As others see it.
        """
        made = {name: getattr(self.new, name) for name in NewFile.__struct_fields__}
        return File(
            **made, size_bytes=sum(map(len, self.pieces)), pieces=len(self.pieces), created_at=self.created_at, expires_at=self.goes_at
        )


@dataclass(slots=True)
class BatchRow:
    """A batch."""

    batch: Batch
    due_at: Moment
    """From when on somebody may take it; when it ended."""
    token: int = 0


class Contents:
    """What is kept.

    Args:
        clock (Clock): The store's only source of time.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.closed = False
        self.rows: dict[MessageId, Row] = {}
        self.kin: Kin = Kin(self.rows, self.move, clock)
        self.dedup: dict[tuple[str, str], MessageId] = {}
        self.routes: dict[RouteKey, RouteRow] = {}
        self.flow: Flow = Flow(self.rows, self.routes)
        self.lanes: dict[str, tuple[Moment, str]] = {}
        self.books: dict[str, bytes] = {}
        self.calls: dict[tuple[str, str], CallRow] = {}
        self.files: dict[str, FileRow] = {}
        self.responses: dict[str, tuple[Moment, KeptResponse]] = {}
        self.batches: dict[str, BatchRow] = {}
        self.paused_queues: set[str] = set()
        self.all_paused = False
        self.pauses: dict[str, Pause] = {}
        self.deeds: list[Deed] = []
        self.edits: dict[MessageId, list[Edited]] = {}
        self.schedules: dict[tuple[str, str], Schedule] = {}
        self.errors: dict[int, KeptLine] = {}
        self.measures: dict[tuple[Series, int], tuple[int, float]] = {}
        self.health: dict[str, tuple[Moment, Health]] = {}
        self.changes: list[Change] = []
        self.seq: int = 0
        self.totals: Counter[tuple[str, str]] = Counter()
        self.counters: Counter[str] = Counter()
        self.taken = 0
        self.steps: dict[MessageId, dict[int, Step]] = {}
        self.memory: dict[tuple[str, str], dict[str, bytes]] = {}
        self.keys: dict[bytes, Key] = {}
        self.workers: dict[WorkerId, WorkerRow] = {}
        self.agents: dict[str, AgentCard] = {}
        self.ledger: dict[tuple[str, Account], Entry] = {}
        self.budgets: dict[tuple[str, str], Budget] = {}
        self._number = 0
        self._workers = 0
        self._told: list[tuple[str, dict[str, Any]]] = []
        self._lock = threading.RLock()
        self._bells: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    @contextmanager
    def open(self) -> Iterator[Moment]:
        """Have it alone for one atomic call.

        Yields:
            Moment: The store's time.

        Raises:
            StoreClosed: It is closed.
        """
        with self._lock:
            if self.closed:
                raise StoreClosed("the store is closed", hint="Use it inside its `async with` block.")
            try:
                yield self.clock.now()
            finally:
                told, self._told = self._told, []
        for name, facts in told:
            tell(name, **facts)

    def number(self) -> int:
        """Draw the next of the one growing sequence that ids come from.

        Returns:
            int: Larger than any before, and later times give larger ones.
        """
        self._number = max(self._number + 1, int(self.clock.now() * 1000) << 20)
        return self._number

    def worker_number(self) -> WorkerId:
        """Draw a number for a worker.

        Returns:
            WorkerId: Nobody else has had it.
        """
        self._workers += 1
        return WorkerId(self._workers)

    def row(self, id: MessageId, tenant: str | None = None) -> Row:
        """Find a message.

        Args:
            id (MessageId): Which.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            Row: It.

        Raises:
            NotFound: No such message (of this tenant).
        """
        row = self.rows.get(id)
        if row is None or tenant not in (None, row.message.tenant):
            raise NotFound(f"there is no message {write(id)!r}", hint="Ids are shown by `perdure messages`.")
        return row

    def held(self, lease: Lease) -> Row:
        """Find the message of a lease, if the lease still holds it.

        Args:
            lease (Lease): The right to it.

        Returns:
            Row: It.

        Raises:
            LeaseLost: The lease is stale.
        """
        row = self.rows.get(lease.message.id)
        if row is None or row.state is not State.LEASED or row.token != lease.token:
            self.counters["refused_stale"] += 1
            raise LeaseLost(
                f"message {write(lease.message.id)!r} is no longer held by worker {lease.worker}",
                hint="Stop working on it: whoever holds it now goes on from the journal.",
            )
        return row

    def move(self, row: Row, move: Move, *, wait: Wait | None = None, usage: Usage | None = None, **told: Any) -> None:
        """Bring a message to another place.

        Args:
            row (Row): The message.
            move (Move): What happens to it.
            wait (Wait | None): For what it waits there.
            usage (Usage | None): What it used, if it ends; None for the sum over its steps.
            **told (Any): Further facts of the event.
        """
        now = self.clock.now()
        had, row.gates = (row.gates, ()) if move is not Move.LEASE else ((), row.gates)
        row.state = self._target(row, move, had, now)
        row.wait = wait
        if row.state is not State.LEASED:
            row.worker, row.called_off = None, False
        if row.state is not State.HELD:
            row.held_under = None
        elif move is Move.RECALL and wait is not None:
            row.wait = delay(wait.until)
        row.ended_at = now if row.state in ENDS else None
        if row.state in ENDS:
            row.usage = usage or _used(self.steps.get(row.message.id, {}).values())
        if move is Move.WAKE:
            row.waiting_since = None
        self.note(row, _TOLD.get(move), **told)
        self.admit(gate for gate in had if gate not in row.gates)
        if row.state in ENDS:
            self.kin.ended(row)
            self._turn_of(self.flow.left(row), now)

    def admit(self, gates: Iterable[GateName]) -> None:
        """Let those in who wait for some counts.

        Args:
            gates (Iterable[GateName]): Which may have room.
        """
        for gate in sorted(set(gates)):
            while (row := self.flow.first_held(gate)) is not None:
                row.state, row.ready_since, row.wait = after(row.state, Move.ADMIT), self.clock.now(), None
                self.note(row, _TOLD[Move.ADMIT])

    def hold(self, row: Row, gate: GateName) -> set[GateName]:
        """Hold a message that is ready under a limit.

        Args:
            row (Row): The message.
            gate (GateName): The count that has no room for it.

        Returns:
            set[GateName]: The counts it was in.
        """
        had = set(row.gates)
        row.state, row.gates, row.held_under, row.held_since = after(row.state, Move.HOLD), (), gate, self.clock.now()
        self.note(row, _TOLD[Move.HOLD])
        return had

    def _target(self, row: Row, move: Move, had: tuple[GateName, ...], now: Moment) -> State:
        target = after(row.state, move)
        if move not in HELD_INSTEAD:
            return target
        if not self.flow.join(row, now):
            return after(row.state, move, held=True)
        if target is not State.READY:
            return target
        return after(row.state, move, held=self.flow.enter(row, now, had=had) is State.HELD)

    def _turn_of(self, row: Row | None, now: Moment) -> None:
        if row is None:
            return
        if self.flow.put_off(row, now):
            row.state = after(row.state, Move.DEFER)
            self.note(row, None)
            return
        row.wait = None
        if self.flow.enter(row, now) is State.READY:
            row.state = after(row.state, Move.ADMIT)
            self.note(row, _TOLD[Move.ADMIT])

    def note(self, row: Row, event: str | None, **told: Any) -> None:
        """Write a row's state into the change sequence and ring for who waits for it.

        Args:
            row (Row): A message that has just moved or been born.
            event (str | None): What is told of it once the call has ended well.
            **told (Any): Further facts of the event.
        """
        put = row.message
        self.routes.setdefault(row.route, RouteRow(id=len(self.routes) + 1))
        self.seq += 1
        self.changes.append(
            Change(seq=self.seq, id=put.id, tenant=put.tenant, queue=put.queue, agent=put.agent, state=row.state, at=self.clock.now())
        )
        if event is not None:
            self.tells(event, row, **told)
        for loop, bell in self._bells:
            loop.call_soon_threadsafe(bell.set)

    def tells(self, event: str, row: Row, **more: Any) -> None:
        """Keep an event about a message to be told when the call has ended well.

        Args:
            event (str): `message.leased`, `step.recorded`.
            row (Row): The message.
            **more (Any): Further facts.
        """
        put = row.message
        facts: dict[str, Any] = {"message": put.id, "agent": put.agent, "queue": put.queue, "tenant": put.tenant}
        facts["attempt"] = row.used + (row.state is State.LEASED)
        error = row.error or (row.wait.error if row.wait else None)
        self.later(event, **facts, code=None if error is None else error.code, **more)

    def later(self, event: str, /, **facts: Any) -> None:
        """Keep an event to be told when the call has ended well.

        Args:
            event (str): Its name.
            **facts (Any): What is told.
        """
        self._told.append((event, facts))

    def total(self, row: Row, name: str) -> None:
        """Add one to a total of the message's queue.

        Args:
            row (Row): The message.
            name (str): `put`, `done`, `dead` and so on.
        """
        self.totals[row.message.queue, name] += 1

    def note_deed(self, by: Actor | None, action: str, target: str, **details: Any) -> None:
        """Write into the audit log.

        Args:
            by (Actor | None): Who does it; None is nobody, and nothing is written.
            action (str): What.
            target (str): To which one.
            **details (Any): More; None is left out.
        """
        if by is not None:
            said = details_text(details)
            self.deeds.append(
                Deed(
                    id=self.deeds[-1].id + 1 if self.deeds else 1,
                    at=self.clock.now(),
                    who=by.who,
                    action=action,
                    target=target,
                    details={} if said is None else msgspec.json.decode(said),
                    request_id=by.request_id,
                )
            )

    def forget(self, row: Row) -> None:
        """Forget a message with all it owns.

        Args:
            row (Row): One that has ended.
        """
        put = row.message
        del self.rows[put.id]
        self.steps.pop(put.id, None)
        self.edits.pop(put.id, None)
        self.kin.forget(row)
        self._turn_of(self.flow.left(row, gone=True), self.clock.now())
        if put.dedup_key is not None:
            self.dedup.pop((put.tenant, put.dedup_key), None)
        self.changes[:] = [change for change in self.changes if change.id != put.id]

    @contextmanager
    def bell(self) -> Iterator[asyncio.Event]:
        """Be told of the next change.

        Yields:
            asyncio.Event: Set when something has changed.
        """
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._bells.append(entry)
        try:
            yield entry[1]
        finally:
            with self._lock:
                self._bells.remove(entry)


def _used(steps: Iterable[Step]) -> Usage | None:
    """Add up what steps used; of an LLM call made once more, the first may have been paid for as well."""
    own = [step for step in steps if step.origin is None]
    again = [(step.usage, step.ambiguous if step.key.kind is StepKind.LLM else 0) for step in own]
    found = [(usage or Usage()) + Usage(paid_again=n) for usage, n in again if usage is not None or n]
    return sum(found[1:], found[0]) if found else None
