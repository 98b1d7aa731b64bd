"""Schedules, in memory."""

from __future__ import annotations

import builtins

import msgspec

from perdure.clock import Moment
from perdure.errors.base import DedupConflict
from perdure.messages.calendar import Calendar, plan
from perdure.messages.message import ENDS, MessageId, Receipt
from perdure.messages.schedules import Fired, NewSchedule, Overlap, Schedule, ScheduleStore, message_of, no_such, taken
from perdure.messages.store import MessageStore
from perdure.security.audit import Actor
from perdure.stores.inmemory.contents import Contents

__all__ = ["InMemorySchedules"]


class InMemorySchedules(ScheduleStore):
    """Keeps schedules.

    Args:
        contents (Contents): What the store keeps.
        messages (MessageStore): Where their messages are put; it never lets another go first.
    """

    def __init__(self, contents: Contents, messages: MessageStore) -> None:
        self._contents = contents
        self._messages = messages

    async def add(self, new: NewSchedule, *, replace: bool = False, by: Actor | None = None) -> Schedule:
        """Keep a schedule; its first moment is the next of its calendar."""
        with self._contents.open() as now:
            key = (new.message.tenant, new.name)
            old, next_at = self._contents.schedules.get(key), Calendar(new.cron, new.timezone).after(now)
            if old is not None and not replace:
                raise taken(new.name)
            said = {name: getattr(new, name) for name in NewSchedule.__struct_fields__}
            if old is None:
                kept = Schedule(**said, next_at=next_at, created_at=now)
            else:
                same = (old.cron, old.timezone) == (new.cron, new.timezone)
                kept = msgspec.structs.replace(old, **said, next_at=old.next_at if same or old.paused else next_at)
            self._contents.schedules[key] = kept
            told = {"tenant": key[0], "cron": new.cron, "timezone": new.timezone}
            self._contents.note_deed(by, "schedule.add" if old is None else "schedule.change", new.name, **told)
            return kept

    async def get(self, name: str, *, tenant: str = "default") -> Schedule:
        """Look at one."""
        with self._contents.open():
            return self._get(tenant, name)

    async def list(self, *, tenant: str | None = None) -> builtins.list[Schedule]:
        """List schedules."""
        with self._contents.open():
            kept = sorted(self._contents.schedules.items(), key=lambda item: item[0][::-1])
            return [schedule for (whose, _), schedule in kept if tenant in (None, whose)]

    async def pause(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> Schedule:
        """Let one fire no more until it is resumed."""
        with self._contents.open():
            return self._switch(tenant, name, by, next_at=None)

    async def resume(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> Schedule:
        """Let one fire again, from its next moment on."""
        with self._contents.open() as now:
            schedule = self._get(tenant, name)
            return self._switch(tenant, name, by, next_at=Calendar(schedule.cron, schedule.timezone).after(now))

    async def remove(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> None:
        """Forget one."""
        with self._contents.open():
            self._get(tenant, name)
            del self._contents.schedules[tenant, name]
            self._contents.note_deed(by, "schedule.remove", name, tenant=tenant)

    async def run(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> Receipt:
        """Put its message now, whatever its calendar and its pause say."""
        with self._contents.open() as now:
            schedule = self._get(tenant, name)
            [receipt] = await self._messages.put([message_of(schedule, now, by_hand=True)])
            self._contents.schedules[tenant, name] = msgspec.structs.replace(
                schedule, last_at=now, last_id=receipt.id, fired=schedule.fired + 1
            )
            self._contents.note_deed(by, "schedule.run", name, tenant=tenant)
            return receipt

    async def fire(self) -> Fired:
        """Put the messages of all schedules whose moment has come."""
        with self._contents.open() as now:
            put: builtins.list[MessageId] = []
            for key, schedule in builtins.list(self._contents.schedules.items()):
                if schedule.next_at is not None and schedule.next_at <= now:
                    put += await self._fire(key, schedule, schedule.next_at, now)
            coming = [schedule.next_at for schedule in self._contents.schedules.values() if schedule.next_at is not None]
            return Fired(put=put, next_at=min(coming, default=None))

    async def _fire(self, key: tuple[str, str], schedule: Schedule, next_at: Moment, now: Moment) -> builtins.list[MessageId]:
        todo = plan(Calendar(schedule.cron, schedule.timezone), schedule.misfire, next_at, now)
        ids: builtins.list[MessageId] = []
        last_at = schedule.last_at
        for moment in todo.moments:
            before = ids[-1] if ids else schedule.last_id
            if schedule.overlap is Overlap.SKIP and self._goes_on(before):
                continue
            try:
                [receipt] = await self._messages.put([message_of(schedule, moment)])
            except DedupConflict:  # somebody took its key for something else: that must not hold it for ever
                continue
            ids.append(receipt.id)
            last_at = moment
        passed_over = todo.passed_over + len(todo.moments) - len(ids)
        self._contents.schedules[key] = msgspec.structs.replace(
            schedule,
            next_at=todo.next_at,
            last_at=last_at,
            last_id=ids[-1] if ids else schedule.last_id,
            fired=schedule.fired + len(ids),
            passed_over=schedule.passed_over + passed_over,
        )
        self._contents.later("schedule.fired", schedule=schedule.name, tenant=key[0], put=len(ids), passed_over=passed_over)
        return ids

    def _goes_on(self, id: MessageId | None) -> bool:
        row = None if id is None else self._contents.rows.get(id)
        return row is not None and row.state not in ENDS

    def _get(self, tenant: str, name: str) -> Schedule:
        schedule = self._contents.schedules.get((tenant, name))
        if schedule is None:
            raise no_such(name)
        return schedule

    def _switch(self, tenant: str, name: str, by: Actor | None, *, next_at: Moment | None) -> Schedule:
        schedule, paused = self._get(tenant, name), next_at is None
        if schedule.paused != paused:
            schedule = msgspec.structs.replace(schedule, paused=paused, next_at=next_at)
            self._contents.schedules[tenant, name] = schedule
            self._contents.note_deed(by, "schedule.pause" if paused else "schedule.resume", name, tenant=tenant)
        return schedule
