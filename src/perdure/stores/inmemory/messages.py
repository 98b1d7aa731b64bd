"""Messages and queues, in memory."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from perdure.agents.journal import StepState
from perdure.clock import Moment
from perdure.errors.base import Conflict, DedupConflict, ErrorFacts
from perdure.messages.children import MOST_SIGNALS
from perdure.messages.dead import beyond_revival
from perdure.messages.dead_letters import Edit, edited
from perdure.messages.groups import Group, Members, NewGroup, refuse_closed, wait_for_group
from perdure.messages.ids import write
from perdure.messages.limits import Limit, LimitStatus, Scope
from perdure.messages.message import (
    ENDS,
    Attempt,
    GroupId,
    Lease,
    Message,
    MessageId,
    Move,
    NewMessage,
    Receipt,
    State,
    View,
    Wait,
    WorkerId,
    after,
)
from perdure.messages.order import EVERY, in_ancestors_session, join_in_session
from perdure.messages.routes import Route
from perdure.messages.store import Change, Filter, MessageStore, Page, Pause, QueueStatus, Tended
from perdure.resources.usage import Usage
from perdure.security.audit import Actor
from perdure.stores.inmemory import groups, letters, queues, tending
from perdure.stores.inmemory import limits as limiting
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.ending import call_off, cancel, release
from perdure.stores.inmemory.flow import delay
from perdure.stores.inmemory.lanes import open_lane
from perdure.stores.inmemory.rows import GroupRow, RouteRow, Row, SignalRow
from perdure.stores.inmemory.views import page, view
from perdure.stores.inmemory.workers import living

__all__ = ["InMemoryMessages"]


@dataclass(frozen=True)
class InMemoryMessages(MessageStore):
    """Keeps messages until each has ended.

    Args:
        contents (Contents): What the store keeps.
    """

    contents: Contents

    async def put(self, messages: Sequence[NewMessage], *, group: NewGroup | GroupId | None = None) -> builtins.list[Receipt]:
        """Accept messages: all of them, or none."""
        with self.contents.open():
            if group is None:
                return self.accept(messages)
            tenant = messages[0].tenant
            known = self._known_group(messages[0])
            if known is not None:  # the same put again, whose answer was lost: what it did stands
                return self._add_to(known, messages)
            if isinstance(group, NewGroup):
                return self._begin_group(messages, group, tenant)
            if not groups.group_of(self.contents, group, tenant).open:
                raise refuse_closed(group)
            return self._add_to(group, messages)

    async def routes(self) -> builtins.list[Route]:
        """List every route there is, with what stands against it."""
        with self.contents.open():
            return queues.routes(self.contents)

    async def lease(self, routes: Sequence[Route], *, limit: int, worker: WorkerId) -> builtins.list[Lease]:
        """Take the most urgent ready messages of some routes."""
        with self.contents.open() as now:
            living(self.contents, worker)
            wanted = {route.id for route in routes}
            keys = {key for key, route in self.contents.routes.items() if route.id in wanted and queues.may_start(self.contents, key, now)}
            ready = [row for row in self.contents.rows.values() if row.state is State.READY and row.route in keys]
            return [self._take(ready, worker, now) for _ in range(min(limit, len(ready)))]

    async def done(self, lease: Lease, result: bytes, *, usage: Usage | None = None, code_version: str | None = None) -> None:
        """End a message well."""
        with self.contents.open() as now:
            row = self.contents.held(lease)
            row.used += 1
            row.result, row.code_version = result, code_version or row.code_version
            row.called_off = False
            self.contents.move(row, Move.FINISH, usage=usage, took_s=now - lease.leased_at)
            self.contents.total(row, "done")

    async def retry(self, lease: Lease, error: ErrorFacts, *, at: Moment, step: int | None = None, usage: Usage | None = None) -> None:
        """Use up this attempt and try again at a moment."""
        with self.contents.open() as now:
            row = self._failed(lease, error, "retry", now, step=step)
            row.usage = usage or row.usage
            row.used += 1
            if row.called_off:
                cancel(self.contents, row, usage)
                return
            row.waiting_since = None
            self.contents.move(row, Move.RETRY, wait=Wait(why="backoff", until=at, step=step, error=error))
            self.contents.total(row, "retried")

    async def bury(
        self, lease: Lease, error: ErrorFacts, *, step: int | None = None, usage: Usage | None = None, uses_attempt: bool = True
    ) -> None:
        """Give a message up."""
        with self.contents.open() as now:
            row = self._failed(lease, error, "bury", now, step=step)
            row.used += uses_attempt
            if row.called_off:
                cancel(self.contents, row, usage)
                return
            row.error = error
            self.contents.move(row, Move.BURY, usage=usage)
            self.contents.total(row, "dead")

    async def park(self, lease: Lease, wait: Wait) -> None:
        """Let a message wait without a worker, no attempt used."""
        with self.contents.open() as now:
            row = self.contents.held(lease)
            if row.called_off or self.contents.kin.has_come(row, wait):
                release(self.contents, row)
                return
            row.waiting_since = (row.waiting_since or now) if wait.is_endless else None
            self.contents.move(row, wait.move, wait=wait, why=wait.why)

    async def release(self, lease: Lease) -> None:
        """Give a message back, ready at once."""
        with self.contents.open():
            release(self.contents, self.contents.held(lease))

    async def cancel(self, id: MessageId, *, tenant: str | None = None, children: bool = True, by: Actor | None = None) -> View:
        """Call a message off."""
        with self.contents.open() as now:
            row = self.contents.row(id, tenant)
            if row.state in ENDS and row.state is not State.CANCELLED:
                after(row.state, Move.CANCEL)
            if row.state is not State.CANCELLED and not row.called_off:
                self.contents.note_deed(by, "message.cancel", write(id))
            call_off(self.contents, row, children=children)
            return view(self.contents, row, now)

    async def called_off(self, worker: WorkerId) -> builtins.list[MessageId]:
        """List what a worker holds and somebody has called off."""
        with self.contents.open():
            return [row.message.id for row in self.contents.rows.values() if row.called_off and row.worker == worker]

    async def signal(self, id: MessageId, name: str, data: bytes, *, tenant: str | None = None, key: str | None = None) -> View:
        """Tell a message something, for which its run waits or will wait."""
        with self.contents.open() as now:
            row = self.contents.row(id, tenant)
            self._hear(row, SignalRow(name, data, key))
            return view(self.contents, row, now)

    async def group(self, id: GroupId, *, tenant: str | None = None) -> Group:
        """Look how far a group has come."""
        with self.contents.open():
            return groups.group_of(self.contents, id, tenant)

    async def members(self, id: GroupId, *, limit: int = 100, cursor: str | None = None, tenant: str | None = None) -> Members:
        """List what became of a group's messages."""
        with self.contents.open():
            return groups.members(self.contents, id, limit, cursor, tenant)

    async def close_group(self, id: GroupId, *, tenant: str | None = None) -> Group:
        """Say that an open group is complete."""
        with self.contents.open():
            if groups.group_of(self.contents, id, tenant).open:
                self.contents.kin.groups[id].open = False
                self.contents.kin.close_if_all_ended(id)
            return groups.group_of(self.contents, id, tenant)

    async def revive(self, id: MessageId, *, tenant: str | None = None, edit: Edit | None = None, by: Actor | None = None) -> View:
        """Give a dead letter another life with all its attempts, its journal kept."""
        with self.contents.open() as now:
            row = letters.dead(self.contents, id, tenant)
            deadline = row.message.deadline if edit is None else edited(row.message, edit).deadline
            if (refusal := beyond_revival(id, deadline, now)) is not None:
                raise refusal
            if edit is not None:
                letters.change(self.contents, row, edit, by)
            letters.revive(self.contents, row, None)
            self.contents.note_deed(by, "dead-letter.revive", write(id))
            return view(self.contents, row, now)

    async def get(self, id: MessageId, *, tenant: str | None = None) -> View:
        """Look at one message."""
        with self.contents.open() as now:
            return view(self.contents, self.contents.row(id, tenant), now)

    async def list(self, filter: Filter, *, limit: int = 50, cursor: str | None = None) -> Page:
        """List messages, those put last first."""
        with self.contents.open() as now:
            return page(self.contents, filter, limit, cursor, now)

    async def attempts(self, id: MessageId) -> builtins.list[Attempt]:
        """List what went wrong with a message so far, oldest first."""
        with self.contents.open():
            return builtins.list(self.contents.row(id).log)

    async def queues(self) -> builtins.list[QueueStatus]:
        """List queues that ever had a message or were paused, by name."""
        with self.contents.open():
            return queues.queue_statuses(self.contents)

    async def pause(self, queue: str | None, *, why: str | None = None, by: Actor | None = None) -> None:
        """Stop leasing from a queue, or from all."""
        with self.contents.open() as now:
            self.contents.pauses[queue or ""] = Pause(at=now, who=None if by is None else by.who, why=why)
            self.contents.note_deed(by, "all.pause" if queue is None else "queue.pause", queue or "*", why=why)
            if queue is None:
                self.contents.all_paused = True
            else:
                self.contents.paused_queues.add(queue)

    async def resume(self, queue: str | None, *, by: Actor | None = None) -> None:
        """Lift a pause."""
        with self.contents.open():
            self.contents.pauses.pop(queue or "", None)
            self.contents.note_deed(by, "all.resume" if queue is None else "queue.resume", queue or "*")
            if queue is None:
                self.contents.all_paused = False
            else:
                self.contents.paused_queues.discard(queue)

    async def pause_of_all(self) -> Pause | None:
        """Tell who paused everything."""
        with self.contents.open():
            return self.contents.pauses.get("")

    async def paused(self) -> bool:
        """Tell whether everything is paused."""
        with self.contents.open():
            return self.contents.all_paused

    async def close_lane(self, lane: str, *, until: Moment, why: str) -> None:
        """Let nothing of a lane start before a moment."""
        with self.contents.open():
            standing, reason = self.contents.lanes.get(lane, (until, why))
            self.contents.lanes[lane] = (until, why) if until > standing else (standing, reason)

    async def open_lane(self, lane: str, *, by: Actor | None = None) -> bool:
        """Open a lane by hand."""
        with self.contents.open() as now:
            return open_lane(self.contents, lane, now, by)

    async def set_limit(self, limit: Limit) -> LimitStatus:
        """Let only so many run at once."""
        with self.contents.open():
            return limiting.set_limit(self.contents, limit)

    async def drop_limit(self, scope: Scope, name: str) -> bool:
        """Lift a limit."""
        with self.contents.open():
            return limiting.drop_limit(self.contents, scope, name)

    async def limits(self) -> builtins.list[LimitStatus]:
        """List the limits, by scope and name."""
        with self.contents.open():
            return limiting.limits(self.contents)

    async def tend(self) -> Tended:
        """Do what time demands."""
        with self.contents.open() as now:
            return tending.tend(self.contents, now)

    async def changes(self, after: int, *, limit: int = 1000, tenant: str | None = None) -> builtins.list[Change]:
        """Read the change sequence."""
        with self.contents.open():
            return [change for change in self.contents.changes if change.seq > after and tenant in (None, change.tenant)][:limit]

    async def last_change(self) -> int:
        """Tell the number of the newest change."""
        with self.contents.open():
            return self.contents.seq

    def heard(self) -> int:
        """Tell the newest change."""
        return self.contents.seq

    async def changed(self, after: int, *, timeout_s: float) -> int:
        """Wait until something changes."""
        with self.contents.bell() as bell:
            newest = await self.last_change()
            if newest <= after:
                try:
                    async with asyncio.timeout(timeout_s):  # `wait_for` may swallow a cancellation that comes with the bell
                        await bell.wait()
                except TimeoutError:
                    return after
            return await self.last_change()

    async def counters(self) -> dict[str, int]:
        """Read the kept totals of the installation."""
        with self.contents.open():
            return dict(+self.contents.counters)

    def accept(self, messages: Sequence[NewMessage], *, group: GroupId | None = None, waits: Wait | None = None) -> builtins.list[Receipt]:
        """Accept messages inside a call: all of them, or none.

        Args:
            messages (Sequence[NewMessage]): Which.
            group (GroupId | None): Into which.
            waits (Wait | None): As what it is born waiting, if it is.

        Returns:
            builtins.list[Receipt]: One for each.
        """
        now, born, dedup = self.contents.clock.now(), builtins.list[Row](), dict[tuple[str, str], Row]()
        receipts = [self._accept(new, now, born, dedup, group) for new in messages]
        for row in born:
            self._lay_down(row, now, waits)
        self.contents.dedup.update({key: row.message.id for key, row in dedup.items()})
        return receipts

    def _begin_group(self, messages: Sequence[NewMessage], new: NewGroup, tenant: str) -> builtins.list[Receipt]:
        """All or none: the members first, since any of them may be refused; their join is born waiting."""
        if new.then is not None and new.then.session is not None:
            raise join_in_session(new.then.session)
        number = GroupId(self.contents.number())
        them = [*messages, *([] if new.then is None else [new.then])]
        checked = builtins.list[Row]()
        dedup: dict[tuple[str, str], Row] = {}
        for one in them:
            self._accept(one, self.contents.clock.now(), checked, dedup, None)
        group = self.contents.kin.groups[number] = GroupRow(new.name, tenant, new.open, self.contents.clock.now())
        if new.then is not None:
            [join] = self.accept([new.then], group=number, waits=wait_for_group(number))
            if not join.duplicate:
                group.then = join.id
        return self._add_to(number, messages)

    def _known_group(self, first: NewMessage) -> GroupId | None:
        known = None if first.dedup_key is None else self.contents.dedup.get((first.tenant, first.dedup_key))
        return None if known is None else self.contents.rows[known].message.group

    def _add_to(self, id: GroupId, messages: Sequence[NewMessage]) -> builtins.list[Receipt]:
        receipts = self.accept(messages, group=id)
        self.contents.kin.groups[id].members += [receipt.id for receipt in receipts if not receipt.duplicate]
        self.contents.kin.close_if_all_ended(id)
        return receipts

    def _hear(self, row: Row, signal: SignalRow) -> None:
        for known in row.signals:
            if signal.key is not None and (known.name, known.key) == (signal.name, signal.key):
                if known.data != signal.data:
                    raise DedupConflict(f"the key {signal.key!r} came before with other data", hint="Use a key once per signal.")
                return
        if row.state in ENDS:
            raise Conflict(f"message {write(row.message.id)!r} is {row.state.value}, nobody will hear a signal")
        if sum(one.step is None for one in row.signals) >= MOST_SIGNALS:
            raise Conflict(f"{MOST_SIGNALS:,} signals of message {write(row.message.id)!r} wait to be taken")
        row.signals.append(signal)
        self.contents.tells("message.signalled", row, name=signal.name)
        self.contents.kin.wake_for(row, f"signal:{signal.name}")

    def _accept(
        self, new: NewMessage, now: Moment, born: builtins.list[Row], dedup: dict[tuple[str, str], Row], group: GroupId | None
    ) -> Receipt:
        if new.session is not None:
            self._refuse_ancestors(new.session, new.parent)
        key = None if new.dedup_key is None else (new.tenant, new.dedup_key)
        known = None if key is None else dedup.get(key) or self.contents.rows.get(self.contents.dedup.get(key, MessageId(-1)))
        if known is not None:
            if known.message.agent != new.agent or new.body not in (known.message.body, letters.first_body(self.contents, known)):
                raise DedupConflict(f"the key {new.dedup_key!r} came before with another body or agent", hint="Use a key once per request.")
            return Receipt(known.message.id, duplicate=True, group=known.message.group)
        row = self._born(new, now, group)
        born.append(row)
        if key is not None:
            dedup[key] = row
        return Receipt(row.message.id, group=group)

    def _born(self, new: NewMessage, now: Moment, group: GroupId | None) -> Row:
        fields = {name: getattr(new, name) for name in NewMessage.__struct_fields__ if name != "due_at"}
        message = Message(id=MessageId(self.contents.number()), created_at=now, group=group, **fields)
        wait = delay(new.due_at if new.due_at is not None and new.due_at > now else None)
        return Row(message, State.LATER, tag=0, ready_since=now, urgency=message.priority, wait=wait)

    def _lay_down(self, row: Row, now: Moment, waits: Wait | None) -> None:
        contents = self.contents
        contents.routes.setdefault(row.route, RouteRow(id=len(contents.routes) + 1))
        if waits is not None:
            row.state, row.wait, row.waiting_since = State.WAITING, waits, now
        elif not contents.flow.join(row, now):
            row.state = State.HELD
        elif row.wait is None:
            row.state = contents.flow.enter(row, now, again=False)
        contents.rows[row.message.id] = row
        contents.note(row, "message.put")
        contents.total(row, "put")

    def _refuse_ancestors(self, session: str, parent: MessageId | None) -> None:
        while parent is not None:
            above = self.contents.row(parent).message
            if above.session == session:
                raise in_ancestors_session(session)
            parent = above.parent

    def _take(self, ready: builtins.list[Row], worker: WorkerId, now: Moment) -> Lease:
        self.contents.taken += 1
        if self.contents.taken % EVERY == 0:
            row = min(ready, key=lambda row: row.message.id)
        else:
            row = min(ready, key=lambda row: (row.urgency, row.tag, row.message.id))
            self.contents.flow.leased(row)
        ready.remove(row)
        self.contents.move(row, Move.LEASE, worker=worker, waited_s=now - row.message.created_at)
        row.token += 1
        begun = row.started_at is not None or row.origin is not None
        row.worker, row.started_at = worker, row.started_at or now
        return Lease(
            message=row.message,
            token=row.token,
            worker=worker,
            attempt=row.used + 1,
            crashes=row.crashes,
            begun=begun,
            leased_at=now,
            waiting_since=row.waiting_since,
        )

    def _failed(self, lease: Lease, error: ErrorFacts, kind: str, now: Moment, *, step: int | None) -> Row:
        row = self.contents.held(lease)
        row.log.append(Attempt(n=lease.attempt, kind=kind, error=error, at=now, worker=lease.worker))
        steps = self.contents.steps.get(lease.message.id, {})
        if step is not None and step in steps and steps[step].state is StepState.FAILED:
            steps[step] = msgspec.structs.replace(steps[step], state=StepState.AGAIN)
        return row
