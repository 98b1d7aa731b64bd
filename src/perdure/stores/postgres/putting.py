"""Accepting messages: what many callers put at once is one statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec

from perdure.errors.base import PerdureError
from perdure.messages.message import NewMessage, Receipt
from perdure.resources.batcher import Batcher
from perdure.stores.postgres.hot import Event, Ground, columns, each_apart, hot
from perdure.stores.postgres.interned import Interned
from perdure.stores.postgres.limits import KnownLimits
from perdure.stores.postgres.marked import write
from perdure.stores.postgres.text import to_kept
from perdure.stores.sql import put as shared

__all__ = ["Putting"]

_PLAIN, _KEYED = hot("put_plain"), hot("put_keyed")
_MOST_CALLS, _MOST_BYTES, _ROW_BYTES = 1000, 4 * 1024 * 1024, 256
_encode = msgspec.json.Encoder().encode
_MOST_KINDS = 10_000


class _Kind:
    """What many messages have in common. The same object for all of them."""

    __slots__ = ("attempts", "cost", "line", "max_wait_s", "priority", "route", "tenant")

    def __init__(self, new: NewMessage, tenant: int, route: int) -> None:
        self.tenant, self.route, self.priority, self.attempts = tenant, route, new.priority, new.attempts
        self.max_wait_s, self.cost = new.max_wait_s, new.cost
        self.line = (route, tenant, new.priority, 0)


class Putting:
    """Gathers the puts of a process.

    Args:
        ground (Ground): The engine.
        names (Interned): Routes and tenants.
        limits (KnownLimits): Which there are.
    """

    def __init__(self, ground: Ground, names: Interned, limits: KnownLimits) -> None:
        self._ground, self._names, self._limits = ground, names, limits
        self._kinds: dict[tuple[Any, ...], _Kind] = {}
        self._batcher = Batcher(self._flush, most_items=_MOST_CALLS, most_bytes=_MOST_BYTES, flushes=2)

    async def put(self, messages: Sequence[NewMessage]) -> list[Receipt]:
        """Accept messages, all or none.

        Args:
            messages (Sequence[NewMessage]): Which.

        Returns:
            list[Receipt]: One for each.
        """
        size_bytes = shared.size_of(messages)
        if not _is_plain(messages) or (not self._limits.none and await self._limits.rule(messages)):
            return await self._ground.write(shared.put, messages, None, size_bytes=size_bytes)
        receipts = await self._batcher.add(messages, size_bytes=size_bytes + _ROW_BYTES * len(messages))
        if receipts is None:  # its key is known: who had it first, and with what body, is read in peace
            return await self._ground.write(shared.put, messages, None, size_bytes=size_bytes)
        return receipts

    async def close(self) -> None:
        """Put what was accepted, then end."""
        await self._batcher.close()

    async def _flush(self, calls: Sequence[Sequence[NewMessage]]) -> list[list[Receipt] | BaseException | None]:
        firsts = _first_with_its_keys(calls)
        answers = dict(zip(firsts, await self._put_or_each_apart([calls[at] for at in firsts]), strict=True))
        return [answers.get(at) for at in range(len(calls))]

    async def _put_or_each_apart(self, calls: Sequence[Sequence[NewMessage]]) -> list[list[Receipt] | BaseException | None]:
        try:
            return await self._put(calls)
        except PerdureError as error:
            return await each_apart(self._put, calls, error)

    async def _put(self, calls: Sequence[Sequence[NewMessage]]) -> list[list[Receipt] | BaseException | None]:
        now = self._ground.clock.now()
        kinds = await self._kinds_of(calls, now)
        tags = await self._tags(calls, kinds, now)
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds), 1)}
        rows = _rows(calls, [numbers[kind] for kind in kinds], tags)
        given = (*_common(numbers), *columns(rows, 10))
        keyed = bool(given[-2])
        found = await write(self._ground, _KEYED if keyed else _PLAIN, now, *(given if keyed else given[:-2]))
        self._limits.heard(found[0][2])
        return self._answer(calls, found)

    def _answer(self, calls: Sequence[Sequence[NewMessage]], found: Sequence[Any]) -> list[list[Receipt] | BaseException | None]:
        receipts: list[list[Receipt] | BaseException | None] = []
        events: list[Event] = []
        numbers = (row[0] for row in found)
        for messages in calls:
            ids = list(islice(numbers, len(messages)))
            if None in ids:
                receipts.append(None)
            else:
                receipts.append([Receipt(number) for number in ids])
                events += [_born(number, new) for number, new in zip(ids, messages, strict=True)]
        if events:
            self._ground.committed(found[-1][1], events)
        return receipts

    async def _kinds_of(self, calls: Sequence[Sequence[NewMessage]], now: float) -> list[_Kind]:
        """Find what each message has in common with others; nearly always it is known."""
        kinds: list[_Kind] = []
        for messages in calls:
            for new in messages:
                key = (new.queue, new.agent, new.version, new.lane, new.tenant, new.priority, new.attempts, new.max_wait_s, new.cost)
                kind = self._kinds.get(key)
                kinds.append(await self._learn(key, new, now) if kind is None else kind)
        return kinds

    async def _learn(self, key: tuple[Any, ...], new: NewMessage, now: float) -> _Kind:
        route = await self._names.learn_route((new.queue, new.agent, new.version, new.lane, 0), patience_s=new.max_wait_s, now=now)
        tenant = self._names.tenants.get(new.tenant) or await self._names.learn_tenant(new.tenant)
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        kind = self._kinds[key] = _Kind(new, tenant, route.id)
        return kind

    async def _tags(self, calls: Sequence[Sequence[NewMessage]], kinds: Sequence[_Kind], now: float) -> list[int | None]:
        """One for each that lies ready at once."""
        at_once = [new.due_at is None or new.due_at <= now for messages in calls for new in messages]
        wishes = [(kind.line, kind.cost) for kind, ready in zip(kinds, at_once, strict=True) if ready]
        tags = iter(await self._ground.book.draw(wishes) if wishes else ())
        return [next(tags) if ready else None for ready in at_once]


def _common(there: Iterable[_Kind]) -> list[list[Any]]:
    """Say once what messages have in common."""
    return [
        [kind.tenant for kind in there],
        [kind.route for kind in there],
        [kind.priority for kind in there],
        [kind.attempts for kind in there],
        [kind.max_wait_s for kind in there],
        [kind.cost for kind in there],
    ]


def _rows(calls: Sequence[Sequence[NewMessage]], kinds: Sequence[int], tags: Sequence[int | None]) -> list[tuple[Any, ...]]:
    each = zip(((call, new) for call, messages in enumerate(calls) for new in messages), kinds, tags, strict=True)
    return [
        (
            kind,
            tag,
            new.body,
            new.timeout_s,
            new.deadline,
            new.due_at,
            _encode(new.metadata) if new.metadata else None,
            None if new.key is None else to_kept(new.key),
            None if new.dedup_key is None else to_kept(new.dedup_key),
            call,
        )
        for (call, new), kind, tag in each
    ]


def _is_plain(messages: Sequence[NewMessage]) -> bool:
    """Tell whether nothing but where it goes has to be known of any of them."""
    if any(new.session is not None or new.parent is not None for new in messages):
        return False
    keys = _keys_of(messages)
    return bool(messages) and len(set(keys)) == len(keys)


def _keys_of(messages: Sequence[NewMessage]) -> list[tuple[str, str]]:
    return [(new.tenant, new.dedup_key) for new in messages if new.dedup_key is not None]


def _first_with_its_keys(calls: Sequence[Sequence[NewMessage]]) -> list[int]:
    """The places of those calls whose keys none before them has; what the others repeat is known once these are committed."""
    seen: set[tuple[str, str]] = set()
    firsts: list[int] = []
    for at, messages in enumerate(calls):
        keys = _keys_of(messages)
        if seen.isdisjoint(keys):
            firsts.append(at)
        seen.update(keys)
    return firsts


def _born(id: int, new: NewMessage) -> Event:
    facts = {"message": id, "agent": new.agent, "queue": new.queue, "tenant": new.tenant, "attempt": 0, "code": None}
    return "message.put", facts
