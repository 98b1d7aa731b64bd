"""How messages end: what many workers' slots say at once is one statement."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.errors.base import LeaseLost, PerdureError
from perdure.events import heard
from perdure.messages.message import Lease
from perdure.messages.store import Ended
from perdure.resources.batcher import Batcher
from perdure.stores.postgres import belonging
from perdure.stores.postgres.hot import Event, Ground, columns, each_apart, hot
from perdure.stores.postgres.interned import Interned
from perdure.stores.postgres.marked import write
from perdure.stores.postgres.text import to_kept
from perdure.stores.postgres.used import used_by
from perdure.stores.sql import finish as shared

__all__ = ["Endings", "belongs_to_nobody"]

_DONE = hot("done_many")
_FINISHED = "message.done"
_MOST_CALLS, _MOST_BYTES, _ROW_BYTES = 1000, 4 * 1024 * 1024, 256
_encode = msgspec.json.Encoder().encode


class Endings:
    """Gathers what a process says of the messages it holds.

    Args:
        ground (Ground): The engine.
        names (Interned): Routes and tenants.
    """

    def __init__(self, ground: Ground, names: Interned) -> None:
        self._ground = ground
        self._belonging = belonging.Belonging(ground, names)
        self._dones = Batcher(self._flush_dones, most_items=_MOST_CALLS, most_bytes=_MOST_BYTES, flushes=2)

    async def done(self, ended: Sequence[Ended]) -> list[LeaseLost | None]:
        """End messages well.

        Args:
            ended (Sequence[Ended]): Which, and with what.

        Returns:
            list[LeaseLost | None]: For each why it was refused; None where it is done.
        """
        plain = [one for one in ended if belongs_to_nobody(one.lease)]
        size_bytes = sum(len(one.result) for one in plain) + _ROW_BYTES * len(plain)
        bound = [one for one in ended if belonging.fits(one.lease)]
        finished = await self._dones.add(plain, size_bytes=size_bytes) if plain else set()
        finished = finished | await self._belonging.done(bound) if bound else finished
        rest = [one for one in ended if id(one) not in finished]
        if not rest:
            return [None] * len(ended)
        refused = await self._ground.write(shared.done_many, rest)
        lost = {id(one): error for one, error in zip(rest, refused, strict=True)}
        return [lost.get(id(one)) for one in ended]

    async def close(self) -> None:
        """Write what was said, then end."""
        await self._dones.close()
        await self._belonging.close()

    async def _flush_dones(self, calls: Sequence[Sequence[Ended]]) -> list[set[int] | BaseException]:
        try:
            return await self._end_well(calls)
        except PerdureError as error:
            return await each_apart(self._end_well, calls, error)

    async def _end_well(self, calls: Sequence[Sequence[Ended]]) -> list[set[int] | BaseException]:
        now = self._ground.clock.now()
        ended = sorted((one for call in calls for one in call), key=_by_id)
        used = await used_by(self._ground, [one.lease.message.id for one in ended if one.usage is None])
        rows = [
            (
                one.lease.message.id,
                one.lease.token,
                None if one.code_version is None else to_kept(one.code_version),
                used.get(one.lease.message.id) if one.usage is None else _encode(one.usage),
                one.result,
            )
            for one in ended
        ]
        found = await write(self._ground, _DONE, now, *columns(rows, 5))
        finished = [ended[row[0] - 1] for row in found]
        if found:
            self._ground.committed(
                max(row[1] for row in found), [_finished(one.lease, now) for one in finished] if heard(_FINISHED) else ()
            )
        done = {id(one) for one in finished}
        return [done] * len(calls)


def _by_id(ended: Ended) -> int:
    return ended.lease.message.id


def belongs_to_nobody(lease: Lease) -> bool:
    """Tell whether no other message has to hear of one's end.

    Args:
        lease (Lease): The right to it.

    Returns:
        bool: True for nearly all.
    """
    message = lease.message
    return message.session is None and message.parent is None and message.group is None


def _finished(lease: Lease, now: float) -> Event:
    message = lease.message
    facts = {
        "message": message.id,
        "agent": message.agent,
        "queue": message.queue,
        "tenant": message.tenant,
        "attempt": lease.attempt,
        "code": None,
        "took_s": now - lease.leased_at,
    }
    return _FINISHED, facts
