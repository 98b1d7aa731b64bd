"""The kit that proves where lines of errors are kept."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from perdure.errors.base import Category
from perdure.errors.patterns import FORGOTTEN_S, HOUR_S, KEPT_HOURS, MOST_LINES, Line, Noted, patterns_of
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.kit import Kit

__all__ = ["ErrorsKit"]

_LINE = Line(code="provider-server", category=Category.SERVER, where="run", agent="triage", provider="qwen", message="it broke")


def _noted(clock: FakeClock, count: int = 1, **line: Any) -> Noted:
    made = msgspec.structs.replace(_LINE, **line)
    return Noted(line=made, count=count, first_at=clock.now(), last_at=clock.now(), sample=f"a {made.message}", hint="mend it")


class ErrorsKit(Kit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and how your store keeps errors is proved."""

    async def test_what_is_noted_is_counted_by_line_and_by_hour(self, store: Store, clock: FakeClock) -> None:
        began = clock.now()
        await store.errors.note([_noted(clock, 2), _noted(clock, 3, message="it is full", provider=None)])
        clock.pass_by(seconds=HOUR_S)
        await store.errors.note([_noted(clock, 5)])
        broke, full = await store.errors.lines()
        assert (broke.line, broke.id, broke.count, broke.sample, broke.hint) == (_LINE, _LINE.id, 7, "a it broke", "mend it")
        assert (broke.first_at, broke.last_at) == (began, clock.now())
        assert dict(broke.hours) == {int(began // HOUR_S): 2, int(clock.now() // HOUR_S): 5}
        assert (full.line.message, full.line.provider, full.count) == ("it is full", None, 3)

    async def test_those_that_came_last_are_listed_first(self, store: Store, clock: FakeClock) -> None:
        for message in ("a", "b", "c"):
            await store.errors.note([_noted(clock, message=message)])
            clock.pass_by(seconds=1)
        assert [one.line.message for one in await store.errors.lines()] == ["c", "b", "a"]

    async def test_nothing_noted_is_nothing_kept(self, store: Store) -> None:
        await store.errors.note([])
        assert list(await store.errors.lines()) == []

    async def test_of_one_place_only_so_many_messages_are_told_apart(self, store: Store, clock: FakeClock) -> None:
        await store.errors.note([_noted(clock, message=f"word{n} alone") for n in range(MOST_LINES)])
        await store.errors.note([_noted(clock, 4, message="one too many"), _noted(clock, 2, message="and another")])
        await store.errors.note([_noted(clock, 1, message="elsewhere", agent="other"), _noted(clock, 9, message="word3 alone")])
        kept = {one.line.message: one.count for one in await store.errors.lines()}
        assert len(kept) == MOST_LINES + 2
        assert (kept["<*>"], kept["elsewhere"], kept["word3 alone"]) == (6, 1, 10)

    async def test_many_processes_count_together(self, store: Store, clock: FakeClock) -> None:
        lines = ("a", "b", "c")
        await asyncio.gather(
            *(store.errors.note([_noted(clock, message=line) for line in (lines if n % 2 else lines[::-1])]) for n in range(20)),
        )
        assert [one.count for one in await store.errors.lines()] == [20, 20, 20]

    async def test_old_hours_are_forgotten_and_lines_long_after(self, store: Store, clock: FakeClock) -> None:
        await store.errors.note([_noted(clock, message="old")])
        clock.pass_by(seconds=(KEPT_HOURS + 2) * HOUR_S)
        await store.errors.note([_noted(clock, message="new")])
        new, old = await store.errors.lines()
        assert (len(new.hours), dict(old.hours), old.count) == (1, {}, 1)
        clock.pass_by(seconds=FORGOTTEN_S - HOUR_S)
        await store.errors.note([_noted(clock, message="newest")])
        assert [one.line.message for one in await store.errors.lines()] == ["newest", "new"]

    async def test_what_a_pattern_is_called_stays_whatever_comes_later(self, store: Store, clock: FakeClock) -> None:
        await store.errors.note([_noted(clock, message="payment of anna refused by bank")])
        [before] = patterns_of(await store.errors.lines(), clock.now())
        clock.pass_by(seconds=60)
        more = ["payment of ben refused by bank", "payment of carl refused by bank"]
        await store.errors.note([_noted(clock, message=message, model=message) for message in more])
        [after] = patterns_of(await store.errors.lines(), clock.now())
        assert after.id == before.id
        assert (after.template, after.count, len(after.lines)) == ("payment of <*> refused by bank", 3, 3)
