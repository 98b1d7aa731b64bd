"""Schedules, in the store: whoever moves a schedule's next moment on puts its message, in one transaction."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any, NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.errors.base import DedupConflict
from perdure.messages.calendar import Calendar, plan
from perdure.messages.message import ENDS, MessageId, Receipt
from perdure.messages.schedules import Fired, NewSchedule, Overlap, Schedule, ScheduleStore, message_of, no_such, taken
from perdure.security.audit import Actor
from perdure.stores.sql import put as putting
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.places import place_of, state_of
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqlSchedules"]

_ADD, _GET, _REPLACE = statement("schedule_add"), statement("schedule_get"), statement("schedule_replace")
_LIST, _LIST_OF, _DROP = statement("schedule_list"), statement("schedule_list_of"), statement("schedule_drop")
_SWITCH, _NEXT, _DUE = statement("schedule_switch"), statement("schedule_next"), statement("schedule_due")
_MOVE_ON, _FIRED = statement("schedule_move_on"), statement("schedule_fired")
_AT_ONCE = 100
_decode = msgspec.json.Decoder(NewSchedule).decode


class _Put(NamedTuple):
    ids: list[MessageId]
    last_at: Moment | None
    passed_over: int


class SqlSchedules(ScheduleStore):
    """Keeps schedules.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, new: NewSchedule, *, replace: bool = False, by: Actor | None = None) -> Schedule:
        """Keep a schedule; its first moment is the next of its calendar."""
        return await self._engine.write(_add, new, replace, by)

    async def get(self, name: str, *, tenant: str = "default") -> Schedule:
        """Look at one."""
        return await self._engine.read(_get, tenant, name)

    async def list(self, *, tenant: str | None = None) -> builtins.list[Schedule]:
        """List schedules."""
        return await self._engine.read(_list, tenant)

    async def pause(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> Schedule:
        """Let one fire no more until it is resumed."""
        return await self._engine.write(_switch, tenant, name, by, paused=True)

    async def resume(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> Schedule:
        """Let one fire again, from its next moment on."""
        return await self._engine.write(_switch, tenant, name, by, paused=False)

    async def remove(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> None:
        """Forget one."""
        await self._engine.write(_remove, tenant, name, by)

    async def run(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> Receipt:
        """Put its message now, whatever its calendar and its pause say."""
        return await self._engine.write(_run_now, tenant, name, by)

    async def fire(self) -> Fired:
        """Put the messages of all schedules whose moment has come."""
        due, next_at = await self._engine.read(_due, self._engine.clock.now())
        if not due:
            return Fired(next_at=next_at)
        fired = await asyncio.gather(*(self._engine.write(_fire, tenant, name) for tenant, name in due))
        return Fired(put=[one for ids in fired for one in ids], next_at=await self._engine.read(_next_at))


def _add(tx: Transaction, new: NewSchedule, replace: bool, by: Actor | None) -> Schedule:
    tenant, calendar = new.message.tenant, Calendar(new.cron, new.timezone)
    card = msgspec.json.encode(_plain(new))
    old = _find(tx.run, tenant, new.name)
    if old is None:
        tx.run(_ADD, (tenant, new.name, card, calendar.after(tx.now), tx.now))
    elif not replace:
        raise taken(new.name)
    else:
        same = (old.cron, old.timezone) == (new.cron, new.timezone)
        next_at = None if old.paused else old.next_at if same else calendar.after(tx.now)
        tx.run(_REPLACE, (tenant, new.name, card, next_at))
    tx.audit(by, "schedule.add" if old is None else "schedule.change", new.name, tenant=tenant, cron=new.cron, timezone=new.timezone)
    return _get(tx.run, tenant, new.name)


def _switch(tx: Transaction, tenant: str, name: str, by: Actor | None, *, paused: bool) -> Schedule:
    schedule = _get(tx.run, tenant, name)
    if schedule.paused != paused:
        next_at = None if paused else Calendar(schedule.cron, schedule.timezone).after(tx.now)
        tx.run(_SWITCH, (tenant, name, int(paused), next_at))
        tx.audit(by, "schedule.pause" if paused else "schedule.resume", name, tenant=tenant)
    return _get(tx.run, tenant, name)


def _remove(tx: Transaction, tenant: str, name: str, by: Actor | None) -> None:
    _get(tx.run, tenant, name)
    tx.run(_DROP, (tenant, name))
    tx.audit(by, "schedule.remove", name, tenant=tenant)


def _run_now(tx: Transaction, tenant: str, name: str, by: Actor | None) -> Receipt:
    schedule = _get(tx.run, tenant, name)
    [receipt] = putting.put(tx, [message_of(schedule, tx.now, by_hand=True)])
    tx.run(_FIRED, (tenant, name, tx.now, receipt.id, 1, 0))
    tx.audit(by, "schedule.run", name, tenant=tenant)
    return receipt


def _fire(tx: Transaction, tenant: str, name: str) -> list[MessageId]:
    schedule = _find(tx.run, tenant, name)
    if schedule is None or schedule.next_at is None or schedule.next_at > tx.now:
        return []  # somebody else was faster
    todo = plan(Calendar(schedule.cron, schedule.timezone), schedule.misfire, schedule.next_at, tx.now)
    if tx.run(_MOVE_ON, (tenant, name, schedule.next_at, todo.next_at)).fetchone() is None:
        return []
    put = _put(tx, schedule, list(todo.moments))
    last_at = schedule.last_at if put.last_at is None else put.last_at
    last_id = put.ids[-1] if put.ids else schedule.last_id
    tx.run(_FIRED, (tenant, name, last_at, last_id, len(put.ids), todo.passed_over + put.passed_over))
    tx.tell("schedule.fired", schedule=name, tenant=tenant, put=len(put.ids), passed_over=todo.passed_over + put.passed_over)
    return put.ids


def _put(tx: Transaction, schedule: Schedule, moments: list[Moment]) -> _Put:
    ids: list[MessageId] = []
    last_at: Moment | None = None
    for moment in moments:
        before = ids[-1] if ids else schedule.last_id
        if schedule.overlap is Overlap.SKIP and before is not None and _goes_on(tx, before):
            continue
        try:
            [receipt] = putting.put(tx, [message_of(schedule, moment)])
        except DedupConflict:  # somebody took its key for something else: that must not hold it for ever
            continue
        ids.append(receipt.id)
        last_at = moment
    return _Put(ids, last_at, len(moments) - len(ids))


def _goes_on(tx: Transaction, id: MessageId) -> bool:
    return place_of(tx, id) is not None and state_of(tx.run, id) not in ENDS


def _due(run: Run, now: Moment) -> tuple[list[tuple[str, str]], Moment | None]:
    next_at = _next_at(run)
    due = run(_DUE, (now, _AT_ONCE)).fetchall() if next_at is not None and next_at <= now else []
    return [(tenant, name) for tenant, name in due], next_at


def _next_at(run: Run) -> Moment | None:
    next_at: Moment | None = run(_NEXT).get
    return next_at


def _get(run: Run, tenant: str, name: str) -> Schedule:
    found = _find(run, tenant, name)
    if found is None:
        raise no_such(name)
    return found


def _find(run: Run, tenant: str, name: str) -> Schedule | None:
    row = run(_GET, (tenant, name)).fetchone()
    return None if row is None else _read(row)


def _list(run: Run, tenant: str | None) -> list[Schedule]:
    rows = run(_LIST) if tenant is None else run(_LIST_OF, (tenant,))
    return [_read(row) for row in rows.fetchall()]


def _read(row: Any) -> Schedule:
    card, paused, next_at, last_at, last_id, fired, passed_over, created_at = row
    kept = _decode(card)
    return Schedule(
        **{name: getattr(kept, name) for name in NewSchedule.__struct_fields__},
        paused=bool(paused),
        next_at=next_at,
        last_at=last_at,
        last_id=None if last_id is None else MessageId(last_id),
        fired=fired,
        passed_over=passed_over,
        created_at=created_at,
    )


def _plain(new: NewSchedule) -> NewSchedule:
    return NewSchedule(**{name: getattr(new, name) for name in NewSchedule.__struct_fields__})
