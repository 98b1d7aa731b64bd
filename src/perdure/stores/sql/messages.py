"""Messages and queues, in the store."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Sequence
from contextlib import suppress

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts, LeaseLost, StoreClosed
from perdure.messages.dead_letters import Edit
from perdure.messages.groups import Group, Members, NewGroup
from perdure.messages.limits import Limit, LimitStatus, Scope
from perdure.messages.message import Attempt, GroupId, Lease, MessageId, NewMessage, Receipt, State, View, Wait, WorkerId
from perdure.messages.routes import Route
from perdure.messages.store import Change, Ended, Filter, MessageStore, Page, Pause, QueueStatus, Tended
from perdure.resources.usage import Usage
from perdure.security.audit import Actor
from perdure.stores.sql import finish, groups, listing, mail, obstacles, queues, reopen, tending, views
from perdure.stores.sql import lease as leasing
from perdure.stores.sql import limits as flow
from perdure.stores.sql import put as putting
from perdure.stores.sql import revive as reviving
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.lanes import open_lane
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import sees_latest

__all__ = ["SqlMessages"]

_CALLED_OFF = statement("lease_called_off")
_CHANGES, _LAST_CHANGE, _ALL_PAUSED = statement("change_list"), statement("sequence_last_change"), statement("all_paused")


class SqlMessages(MessageStore):
    """Keeps messages until each has ended.

    Args:
        engine (Engine): Of the store.
    """

    _returned = staticmethod(finish.give_back)
    """What gives back leases that nobody waits for any more."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._routes = obstacles.RouteBook()

    async def put(self, messages: Sequence[NewMessage], *, group: NewGroup | GroupId | None = None) -> builtins.list[Receipt]:
        """Accept messages: all of them, or none."""
        return await self._engine.write(putting.put, messages, group, size_bytes=putting.size_of(messages))

    async def routes(self) -> builtins.list[Route]:
        """List every route there is, with what stands against it."""
        return await self._engine.read(self._routes.all)

    async def lease(self, routes: Sequence[Route], *, limit: int, worker: WorkerId) -> builtins.list[Lease]:
        """Take the most urgent ready messages of some routes."""
        taking = self._engine.write(leasing.lease, routes, limit, worker)
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(self._give_back)
            raise

    async def done(self, lease: Lease, result: bytes, *, usage: Usage | None = None, code_version: str | None = None) -> None:
        """End a message well."""
        await self._engine.write(finish.done, lease, result, usage=usage, code_version=code_version, size_bytes=len(result))

    async def done_many(self, ended: Sequence[Ended]) -> builtins.list[LeaseLost | None]:
        """End many messages well, in one commit."""
        return await self._engine.write(finish.done_many, ended, size_bytes=sum(len(one.result) for one in ended))

    async def retry(self, lease: Lease, error: ErrorFacts, *, at: Moment, step: int | None = None, usage: Usage | None = None) -> None:
        """Use up this attempt and try again at a moment."""
        await self._engine.write(finish.retry, lease, error, at=at, step=step, usage=usage)

    async def bury(
        self, lease: Lease, error: ErrorFacts, *, step: int | None = None, usage: Usage | None = None, uses_attempt: bool = True
    ) -> None:
        """Give a message up."""
        await self._engine.write(finish.bury, lease, error, step=step, usage=usage, uses_attempt=uses_attempt)

    async def park(self, lease: Lease, wait: Wait) -> None:
        """Let a message wait without a worker, no attempt used."""
        await self._engine.write(finish.park, lease, wait)

    async def release(self, lease: Lease) -> None:
        """Give a message back, ready at once."""
        await self._engine.write(finish.release, lease)

    async def cancel(self, id: MessageId, *, tenant: str | None = None, children: bool = True, by: Actor | None = None) -> View:
        """Call a message off."""
        return await self._engine.write(reopen.cancel, id, tenant, children=children, by=by)

    async def called_off(self, worker: WorkerId) -> builtins.list[MessageId]:
        """List what a worker holds and somebody has called off."""
        return await self._engine.read(_called_off, worker)

    async def signal(self, id: MessageId, name: str, data: bytes, *, tenant: str | None = None, key: str | None = None) -> View:
        """Tell a message something, for which its run waits or will wait."""
        return await self._engine.write(mail.signal, id, name, data, tenant=tenant, key=key, size_bytes=len(data))

    async def group(self, id: GroupId, *, tenant: str | None = None) -> Group:
        """Look how far a group has come."""
        return await self._engine.read(groups.group_of, id, tenant)

    async def members(self, id: GroupId, *, limit: int = 100, cursor: str | None = None, tenant: str | None = None) -> Members:
        """List what became of a group's messages."""
        return await self._engine.read(groups.members, id, limit, cursor, tenant)

    async def close_group(self, id: GroupId, *, tenant: str | None = None) -> Group:
        """Say that an open group is complete."""
        return await self._engine.write(groups.close, id, tenant)

    async def revive(self, id: MessageId, *, tenant: str | None = None, edit: Edit | None = None, by: Actor | None = None) -> View:
        """Give a dead letter another life with all its attempts, its journal kept."""
        return await self._engine.write(reviving.revive, id, tenant, edit, by)

    async def get(self, id: MessageId, *, tenant: str | None = None) -> View:
        """Look at one message."""
        return await self._engine.read(_view, id, tenant, self._engine.clock.now())

    async def list(self, filter: Filter, *, limit: int = 50, cursor: str | None = None) -> Page:
        """List messages, those put last first."""
        return await self._engine.read(listing.page, filter, limit, cursor, self._engine.clock.now())

    async def attempts(self, id: MessageId) -> builtins.list[Attempt]:
        """List what went wrong with a message so far, oldest first."""
        return await self._engine.read(views.attempts, id)

    async def queues(self) -> builtins.list[QueueStatus]:
        """List queues that ever had a message or were paused, by name."""
        return await self._engine.read(queues.statuses)

    async def pause(self, queue: str | None, *, why: str | None = None, by: Actor | None = None) -> None:
        """Stop leasing from a queue, or from all."""
        await self._engine.write(queues.pause, queue, paused=True, why=why, by=by)

    async def resume(self, queue: str | None, *, by: Actor | None = None) -> None:
        """Lift a pause."""
        await self._engine.write(queues.pause, queue, paused=False, by=by)

    async def paused(self) -> bool:
        """Tell whether everything is paused."""
        return bool(await self._engine.read(_one, _ALL_PAUSED))

    async def pause_of_all(self) -> Pause | None:
        """Tell who paused everything."""
        return (await self._engine.read(queues.notes)).get("")

    async def close_lane(self, lane: str, *, until: Moment, why: str) -> None:
        """Let nothing of a lane start before a moment."""
        await self._engine.write(queues.close_lane, lane, until, why)

    async def open_lane(self, lane: str, *, by: Actor | None = None) -> bool:
        """Open a lane by hand."""
        return await self._engine.write(open_lane, lane, by)

    async def set_limit(self, limit: Limit) -> LimitStatus:
        """Let only so many run at once."""
        await self._engine.write(flow.set_limit, limit)
        [status] = [one for one in await self.limits() if one.limit == limit] or [LimitStatus(limit=limit)]
        return status

    async def drop_limit(self, scope: Scope, name: str) -> bool:
        """Lift a limit."""
        return await self._engine.write(flow.drop_limit, scope, name)

    async def limits(self) -> builtins.list[LimitStatus]:
        """List the limits, by scope and name."""
        return await self._engine.read(flow.limits)

    async def tend(self) -> Tended:
        """Do what time demands."""
        return await tending.tend(self._engine, self._routes)

    async def changes(self, after: int, *, limit: int = 1000, tenant: str | None = None) -> builtins.list[Change]:
        """Read the change sequence."""
        return await self._engine.read(_changes, after, limit, tenant)

    async def last_change(self) -> int:
        """Tell the number of the newest change."""
        return int(await self._engine.read(_one, _LAST_CHANGE))

    def heard(self) -> int:
        """Tell the newest change that this process has heard of."""
        return self._engine.heard()

    async def changed(self, after: int, *, timeout_s: float) -> int:
        """Wait until something changes, in whichever process."""
        return await self._engine.changed(after, timeout_s)

    async def counters(self) -> dict[str, int]:
        """Read the kept totals of the installation."""
        return await self._engine.read(queues.counters)

    def _give_back(self, taking: asyncio.Future[builtins.list[Lease]]) -> None:
        """Whoever asked was cancelled meanwhile: nobody would work on what it got."""
        if taking.cancelled() or taking.exception() is not None or not taking.result():
            return
        with suppress(StoreClosed):  # then its worker's lock is gone as well, and the others reap it
            giving = self._engine.write(self._returned, taking.result())
            giving.add_done_callback(lambda given: given.cancelled() or given.exception())


def _view(run: Run, id: MessageId, tenant: str | None, now: Moment) -> View:
    return views.Viewer(run, now).view(id, tenant=tenant)


def _called_off(run: Run, worker: WorkerId) -> list[MessageId]:
    return [MessageId(one) for (one,) in run(_CALLED_OFF, (worker,))]


@sees_latest
def _one(run: Run, sql: str) -> int:
    return int(run(sql).get)


@sees_latest
def _changes(run: Run, after: int, limit: int, tenant: str | None) -> list[Change]:
    return [
        Change(seq=seq, id=message, tenant=whose, queue=queue, agent=agent, state=State(state), at=at)
        for seq, message, whose, queue, agent, state, at in run(_CHANGES, (after, tenant, limit))
    ]
