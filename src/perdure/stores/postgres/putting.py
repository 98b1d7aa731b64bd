"""Accepting messages: what many callers put at once is one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from perdure.errors.base import PerdureError
from perdure.messages.message import MessageId, NewMessage, Receipt
from perdure.resources.batcher import Batcher
from perdure.stores.postgres.hot import Event, Ground, each_apart, hot, write
from perdure.stores.postgres.interned import Interned
from perdure.stores.postgres.limits import KnownLimits
from perdure.stores.postgres.text import to_kept
from perdure.stores.sql import put as shared

__all__ = ["Putting"]

_PLAIN, _KEYED = hot("put_plain"), hot("put_keyed")
_MOST_CALLS, _MOST_BYTES, _ROW_BYTES = 1000, 4 * 1024 * 1024, 256
_encode = msgspec.json.Encoder().encode
_Row = tuple[Any, ...]


class Putting:
    """Gathers the puts of a process.

    Args:
        ground (Ground): The engine.
        names (Interned): Routes and tenants.
        limits (KnownLimits): Which there are.
    """

    def __init__(self, ground: Ground, names: Interned, limits: KnownLimits) -> None:
        self._ground, self._names, self._limits = ground, names, limits
        self._batcher = Batcher(self._flush, most_items=_MOST_CALLS, most_bytes=_MOST_BYTES, flushes=2)

    async def put(self, messages: Sequence[NewMessage]) -> list[Receipt]:
        """Accept messages, all or none.

        Args:
            messages (Sequence[NewMessage]): Which.

        Returns:
            list[Receipt]: One for each.
        """
        size_bytes = shared.size_of(messages)
        if not _is_plain(messages) or await self._limits.rule(messages):
            return await self._ground.write(shared.put, messages, None, size_bytes=size_bytes)
        receipts = await self._batcher.add(messages, size_bytes=size_bytes + _ROW_BYTES * len(messages))
        if receipts is None:  # its key is known: who had it first, and with what body, is read in peace
            return await self._ground.write(shared.put, messages, None, size_bytes=size_bytes)
        return receipts

    async def close(self) -> None:
        """Put what was accepted, then end."""
        await self._batcher.close()

    async def _flush(self, calls: Sequence[Sequence[NewMessage]]) -> list[list[Receipt] | BaseException | None]:
        try:
            return await self._put(calls)
        except PerdureError as error:
            return await each_apart(self._put, calls, error)

    async def _put(self, calls: Sequence[Sequence[NewMessage]]) -> list[list[Receipt] | BaseException | None]:
        now = self._ground.clock.now()
        await self._learn(calls, now)
        rows, keyed = self._rows(calls, await self._tags(calls, now), now)
        columns = list(zip(*rows, strict=True))
        if keyed:
            found = await write(self._ground, _KEYED, now, *columns)
        else:
            found = await write(self._ground, _PLAIN, now, *columns[:-2])
        self._limits.heard(found[0][2])
        receipts: list[list[Receipt] | BaseException | None] = []
        events: list[Event] = []
        at = 0
        for messages in calls:
            ids = [row[0] for row in found[at : at + len(messages)]]
            at += len(messages)
            if None in ids:
                receipts.append(None)
                continue
            receipts.append([Receipt(MessageId(number)) for number in ids])
            events += [_born(number, new) for number, new in zip(ids, messages, strict=True)]
        if events:
            self._ground.committed(found[-1][1], events)
        return receipts

    async def _learn(self, calls: Sequence[Sequence[NewMessage]], now: float) -> None:
        """Have a number for every route and tenant; nearly always they are known."""
        names = self._names
        for messages in calls:
            for new in messages:
                row = names.routes.get((new.queue, new.agent, new.version, new.lane, 0))
                if row is None or new.max_wait_s < names.patience.get(row.id, float("inf")):
                    await names.learn_route((new.queue, new.agent, new.version, new.lane, 0), patience_s=new.max_wait_s, now=now)
                if new.tenant not in names.tenants:
                    await names.learn_tenant(new.tenant)

    async def _tags(self, calls: Sequence[Sequence[NewMessage]], now: float) -> Iterator[int]:
        """One for each that lies ready at once."""
        routes, tenants = self._names.routes, self._names.tenants
        wishes = [
            ((routes[new.queue, new.agent, new.version, new.lane, 0].id, tenants[new.tenant], new.priority, 0), new.cost)
            for messages in calls
            for new in messages
            if not _is_delayed(new, now)
        ]
        return iter(await self._ground.book.draw(wishes) if wishes else ())

    def _rows(self, calls: Sequence[Sequence[NewMessage]], tags: Iterator[int], now: float) -> tuple[list[_Row], bool]:
        routes, tenants = self._names.routes, self._names.tenants
        keyed = False
        rows: list[_Row] = []
        for call, messages in enumerate(calls):
            for new in messages:
                keyed = keyed or new.dedup_key is not None
                rows.append(
                    (
                        tenants[new.tenant],
                        routes[new.queue, new.agent, new.version, new.lane, 0].id,
                        new.priority,
                        new.attempts,
                        new.timeout_s,
                        new.deadline,
                        new.max_wait_s,
                        new.due_at,
                        _encode(new.metadata) if new.metadata else None,
                        new.body,
                        None if new.key is None else to_kept(new.key),
                        new.cost,
                        None if _is_delayed(new, now) else next(tags),
                        None if new.dedup_key is None else to_kept(new.dedup_key),
                        call,
                    )
                )
        return rows, keyed


def _is_plain(messages: Sequence[NewMessage]) -> bool:
    """Tell whether nothing but where it goes has to be known of any of them."""
    keys = 0
    for new in messages:
        if new.session is not None or new.parent is not None:
            return False
        keys += new.dedup_key is not None
    return keys <= 1 and bool(messages)


def _is_delayed(new: NewMessage, now: float) -> bool:
    return new.due_at is not None and new.due_at > now


def _born(id: int, new: NewMessage) -> Event:
    facts = {"message": id, "agent": new.agent, "queue": new.queue, "tenant": new.tenant, "attempt": 0, "code": None}
    return "message.put", facts
