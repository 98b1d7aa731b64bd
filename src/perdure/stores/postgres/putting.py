"""Accepting messages: what many callers put at once is one statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec

from perdure.errors.base import PerdureError
from perdure.events import heard
from perdure.messages.groups import NewGroup, wait_for_group
from perdure.messages.message import GroupId, NewMessage, Receipt
from perdure.resources.batcher import Batcher
from perdure.stores.postgres.hot import Event, Ground, ask, columns, each_apart, hot
from perdure.stores.postgres.interned import Interned
from perdure.stores.postgres.kinds import Kind, Kinds
from perdure.stores.postgres.limits import KnownLimits
from perdure.stores.postgres.lone import PUT, LonePut, born
from perdure.stores.postgres.marked import write
from perdure.stores.postgres.text import to_kept
from perdure.stores.postgres.wishes import Wish, strangers
from perdure.stores.sql import put as shared

__all__ = ["Putting"]

_READY, _PLAIN, _KEYED, _BOUND = (hot(f"put_{name}") for name in ("ready", "plain", "keyed", "bound"))
_LINES, _DRAW, _KNOWN = hot("lines_there"), hot("groups_drawn"), hot("keys_known")
_MOST_CALLS, _MOST_BYTES, _ROW_BYTES = 1000, 4 * 1024 * 1024, 256
_encode = msgspec.json.Encoder().encode


class Putting:
    """Gathers the puts of a process.

    Args:
        ground (Ground): The engine.
        names (Interned): Routes and tenants.
        limits (KnownLimits): Which there are.
    """

    def __init__(self, ground: Ground, names: Interned, limits: KnownLimits) -> None:
        self._ground, self._names, self._limits = ground, names, limits
        self._kinds = Kinds(names)
        self._lone = LonePut(ground, self._kinds, limits)
        self._batcher = Batcher(self._flush, most_items=_MOST_CALLS, most_bytes=_MOST_BYTES, flushes=2)

    async def put(self, messages: Sequence[NewMessage], group: NewGroup | GroupId | None = None) -> list[Receipt]:
        """Accept messages, all or none.

        Args:
            messages (Sequence[NewMessage]): Which.
            group (NewGroup | GroupId | None): Into which.

        Returns:
            list[Receipt]: One for each.
        """
        if len(messages) == 1 and group is None and self._limits.none and not self._batcher.busy and self._lone.fits(messages[0]):
            return [await self._lone.put(messages[0])]
        wish, size_bytes = Wish(messages, group), shared.size_of(messages)
        receipts: list[Receipt] | None = None
        if wish.fits and (self._limits.none or not await self._limits.rule(messages)):
            receipts = await self._batcher.add(wish, size_bytes=size_bytes + _ROW_BYTES * len(messages))
            receipts = receipts or await self._known(messages)
        if receipts is not None:
            return receipts
        return await self._ground.write(shared.put, messages, group, size_bytes=size_bytes)

    async def close(self) -> None:
        """Put what was accepted, then end."""
        await self._lone.close()
        await self._batcher.close()

    async def _known(self, messages: Sequence[NewMessage]) -> list[Receipt] | None:
        """What was put before, if all of it was, as it is now: the same put again, whose answer was lost."""
        if any(new.dedup_key is None for new in messages):
            return None
        rows = [(to_kept(new.tenant), to_kept(new.dedup_key or ""), to_kept(new.agent), new.body) for new in messages]
        found = await ask(self._ground, _KNOWN, *columns(rows, 4))
        if len(found) < len(messages) or not all(row[3] for row in found):
            return None
        return [Receipt(row[1], duplicate=True, group=row[2]) for row in found]

    async def _flush(self, wishes: Sequence[Wish]) -> list[list[Receipt] | BaseException | None]:
        chosen = strangers(wishes)
        answers = dict(zip(chosen, await self._put_or_each_apart([wishes[at] for at in chosen]), strict=True))
        return [answers.get(at) for at in range(len(wishes))]

    async def _put_or_each_apart(self, wishes: Sequence[Wish]) -> list[list[Receipt] | BaseException | None]:
        try:
            return await self._put(wishes)
        except PerdureError as error:
            return await each_apart(self._put, wishes, error)

    async def _put(self, wishes: Sequence[Wish]) -> list[list[Receipt] | BaseException | None]:
        now = self._ground.clock.now()
        calls = [wish.all for wish in wishes]
        kinds = [await self._kinds.of(new, now) for messages in calls for new in messages]
        bound = any(wish.is_bound for wish in wishes)
        groups = await self._groups(wishes) if bound else [None] * len(wishes)
        tags = await self._tags(await self._have_a_turn(wishes, now, bound=bound), kinds)
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds), 1)}
        rows = _rows(calls, [numbers[kind] for kind in kinds], tags)
        statement, given = _KEYED, [*_common(numbers), *columns(rows, 10)]
        if bound:
            statement = _BOUND
            given += [*columns(_bonds(wishes, groups), 4), *columns(self._gathered(wishes, groups), 6)]
        elif not given[-2]:
            statement, given = _plainly(given)
        found = await write(self._ground, statement, now, *given)
        self._limits.heard(found[0][2])
        return self._answer(wishes, groups, found)

    def _answer(
        self, wishes: Sequence[Wish], groups: Sequence[GroupId | None], found: Sequence[Any]
    ) -> list[list[Receipt] | BaseException | None]:
        receipts: list[list[Receipt] | BaseException | None] = []
        told, newest = heard(PUT), -1
        events: list[Event] = []
        numbers = (row[0] for row in found)
        for wish, group in zip(wishes, groups, strict=True):
            ids = list(islice(numbers, len(wish.all)))
            if None in ids:
                receipts.append(None)
            else:
                receipts.append([Receipt(number, group=group) for number in ids[len(ids) - len(wish.messages) :]])
                newest = found[-1][1]
                if told:
                    events += [born(number, new) for number, new in zip(ids, wish.all, strict=True)]
        if newest >= 0:
            self._ground.committed(newest, events)
        return receipts

    async def _groups(self, wishes: Sequence[Wish]) -> list[GroupId | None]:
        """The group of each: one that begins has to have a number before its join can say for what it waits."""
        new = sum(isinstance(wish.group, NewGroup) for wish in wishes)
        drawn = iter(await ask(self._ground, _DRAW, new) if new else ())
        return [GroupId(next(drawn)[0]) if isinstance(wish.group, NewGroup) else wish.group for wish in wishes]

    def _gathered(self, wishes: Sequence[Wish], groups: Sequence[GroupId | None]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for call, (wish, group) in enumerate(zip(wishes, groups, strict=True)):
            if group is not None:
                begins = wish.group if isinstance(wish.group, NewGroup) else None
                tenant = self._names.tenants[wish.messages[0].tenant]
                said = (None, None) if begins is None else (to_kept(begins.name), int(begins.open))
                rows.append((call, group, tenant, *said, len(wish.messages)))
        return rows

    async def _have_a_turn(self, wishes: Sequence[Wish], now: float, *, bound: bool) -> list[bool]:
        """Which of all lie ready at once, as far as one can know: in a session that is the first of a line that begins."""
        lines = await self._lines(wishes) if bound else set()
        turns: list[bool] = []
        for wish in wishes:
            for new in wish.all:
                turn = new is not wish.then and (new.due_at is None or new.due_at <= now)
                if new.session is not None:
                    line = (self._names.tenants[new.tenant], new.session)
                    turn = turn and line not in lines
                    lines.add(line)
                turns.append(turn)
        return turns

    async def _lines(self, wishes: Sequence[Wish]) -> set[tuple[int, str]]:
        """The sessions that somebody is in."""
        wanted = {(self._names.tenants[new.tenant], new.session) for wish in wishes for new in wish.messages if new.session is not None}
        order = sorted(wanted)
        given = ([tenant for tenant, _ in order], [to_kept(name) for _, name in order])
        return {order[row[0] - 1] for row in await ask(self._ground, _LINES, *given)} if order else set()

    async def _tags(self, have_a_turn: Sequence[bool], kinds: Sequence[Kind]) -> list[int | None]:
        wishes = [(kind.line, kind.cost) for kind, turn in zip(kinds, have_a_turn, strict=True) if turn]
        tags = iter(await self._ground.book.draw(wishes) if wishes else ())
        return [next(tags) if turn else None for turn in have_a_turn]


def _plainly(given: Sequence[Sequence[Any]]) -> tuple[str, list[Sequence[Any]]]:
    """The statement for messages without dedup keys, and what it is given: a short one where all lie ready and no more is said."""
    *common, cost, kind, tag, body, timeout_s, deadline, due_at, metadata, key, _, _ = given
    if deadline or due_at or key or set(cost) != {1}:
        return _PLAIN, list(given[:-2])
    return _READY, [*common, kind, tag, body, timeout_s, metadata]


def _common(there: Iterable[Kind]) -> list[list[Any]]:
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


def _bonds(wishes: Sequence[Wish], groups: Sequence[GroupId | None]) -> list[tuple[Any, ...]]:
    """Say of each message to what it belongs, and for what it waits."""
    return [
        (
            None if new.session is None else to_kept(new.session),
            None if new.on_dead == "continue" else new.on_dead,
            group,
            _encode(wait_for_group(group)) if new is wish.then and group is not None else None,
        )
        for wish, group in zip(wishes, groups, strict=True)
        for new in wish.all
    ]
