"""How messages end that belong to a session or a group: first a look at who is next, then one statement.

Theory of operation. Whose turn is next in a line has to be known before the statement, since its own turn - a tag - is
drawn beside. The statement looks again, and ends only those of whose line that is still true. Of a group it counts
as many as end here, but never the last one: that wakes the join, which is done the shared way, by one transaction.
So where the members that end here would be the last ones, all but one of them are ended first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.errors.base import PerdureError
from perdure.messages.message import Lease
from perdure.messages.store import Ended
from perdure.resources.batcher import Batcher
from perdure.stores.postgres.hot import Event, Ground, ask, columns, each_apart, hot
from perdure.stores.postgres.interned import Interned
from perdure.stores.postgres.marked import write
from perdure.stores.postgres.text import to_kept
from perdure.stores.postgres.used import used_by

__all__ = ["Belonging", "fits"]

_NEXT, _DONE = hot("lines_next"), hot("done_bound")
_MOST, _MOST_BYTES, _ROW_BYTES = 1000, 4 * 1024 * 1024, 512
_encode = msgspec.json.Encoder().encode


class _Turn(NamedTuple):
    """Who is next in a line; nobody, if it ends."""

    line: int
    next: int | None = None
    urgency: int | None = None
    tag: int | None = None
    route: int = 0
    tenant: int = 0


_NO_LINE = _Turn(0)


class Belonging:
    """Gathers the good ends of messages that belong to others.

    Args:
        ground (Ground): The engine.
        names (Interned): Routes and tenants.
    """

    def __init__(self, ground: Ground, names: Interned) -> None:
        self._ground, self._names = ground, names
        self._batcher = Batcher(self._flush, most_items=_MOST, most_bytes=_MOST_BYTES, flushes=2)

    async def done(self, ended: Sequence[Ended]) -> set[int]:
        """End messages well.

        Args:
            ended (Sequence[Ended]): Which, and with what; each of them `fits`.

        Returns:
            set[int]: The ids, as Python has them, of those that are done; of the others nothing was written.
        """
        done = await asyncio.gather(*(self._batcher.add(one, size_bytes=len(one.result) + _ROW_BYTES) for one in ended))
        return {id(one) for one, is_done in zip(ended, done, strict=True) if is_done}

    async def close(self) -> None:
        """Write what was said, then end."""
        await self._batcher.close()

    async def _flush(self, ended: Sequence[Ended]) -> list[bool | BaseException]:
        try:
            return await self._end_well(ended)
        except PerdureError as error:
            return await each_apart(self._end_well, ended, error)

    async def _end_well(self, ended: Sequence[Ended]) -> list[bool | BaseException]:
        now = self._ground.clock.now()
        firsts = {one.lease.message.id: one for one in reversed(ended)}  # who says it again is refused afterwards
        order = [firsts[number] for number in sorted(firsts)]
        turns = await self._turns(order, now)
        used = await used_by(self._ground, [one.lease.message.id for one in order if one.usage is None])
        usable = [one for one in order if one.lease.message.session is None or one.lease.message.id in turns]
        done = await self._write(usable, turns, used, now)
        if rest := _all_but_the_last([one for one in usable if id(one) not in done]):
            done |= await self._write(rest, turns, used, now)
        return [id(one) in done for one in ended]

    async def _write(self, ended: Sequence[Ended], turns: dict[int, _Turn], used: dict[int, bytes], now: Moment) -> set[int]:
        rows = [_row(one, turns.get(one.lease.message.id), used) for one in ended]
        found = await write(self._ground, _DONE, now, *columns(rows, 10)) if rows else []
        finished = [ended[row[0] - 1] for row in found]
        if found:
            events = [event for one in finished for event in self._told(one, turns.get(one.lease.message.id, _NO_LINE), now)]
            self._ground.committed(max(row[1] for row in found), events)
        return {id(one) for one in finished}

    async def _turns(self, ended: Sequence[Ended], now: Moment) -> dict[int, _Turn]:
        """Who is next, by the message whose end is awaited; those left out need more than their turn."""
        leases = [one.lease for one in ended if one.lease.message.session is not None]
        if not leases:
            return {}
        rows = [(lease.message.id, lease.token, to_kept(lease.message.session or "")) for lease in leases]
        found = await ask(self._ground, _NEXT, *columns(rows, 3))
        plain = [row for row in found if row[2] is None or not (row[8] or (row[3] is not None and row[3] > now))]
        going_on = [row for row in plain if row[2] is not None]
        await self._names.learn((row[5] for row in going_on), (row[6] for row in going_on))
        wishes = [((row[5], row[6], row[4], 1), row[7]) for row in going_on]
        tags = iter(await self._ground.book.draw(wishes) if wishes else ())
        return {
            leases[row[0] - 1].message.id: _Turn(row[1]) if row[2] is None else _Turn(row[1], row[2], row[4], next(tags), row[5], row[6])
            for row in plain
        }

    def _told(self, one: Ended, turn: _Turn, now: Moment) -> list[Event]:
        message = one.lease.message
        facts = {"message": message.id, "agent": message.agent, "queue": message.queue, "tenant": message.tenant, "code": None}
        told: list[Event] = [("message.done", facts | {"attempt": one.lease.attempt, "took_s": now - one.lease.leased_at})]
        if turn.next is not None:
            route = self._names.route_of[turn.route]
            facts = {"message": turn.next, "agent": route.agent, "queue": route.queue, "tenant": message.tenant, "code": None}
            told.append(("message.admitted", facts | {"attempt": 0}))
        return told


def fits(lease: Lease) -> bool:
    """Tell whether a message can end so: it belongs to a session, or to a group.

    Args:
        lease (Lease): The right to it.

    Returns:
        bool: False also for one that belongs to both, or was sent by a run.
    """
    message = lease.message
    return message.parent is None and (message.session is None) != (message.group is None)


def _all_but_the_last(ended: Sequence[Ended]) -> list[Ended]:
    """Of the members of each group."""
    last = {one.lease.message.group: one for one in ended if one.lease.message.group is not None}
    return [one for one in ended if one.lease.message.group is not None and one is not last[one.lease.message.group]]


def _row(one: Ended, turn: _Turn | None, used: dict[int, bytes]) -> tuple[Any, ...]:
    message = one.lease.message
    usage = used.get(message.id) if one.usage is None else _encode(one.usage)
    version = None if one.code_version is None else to_kept(one.code_version)
    line = (None, None, None, None) if turn is None else (turn.line, turn.next, turn.urgency, turn.tag)
    return message.id, one.lease.token, version, usage, one.result, message.group, *line
