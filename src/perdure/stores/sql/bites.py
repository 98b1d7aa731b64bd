"""Dead letters, many at a time: a reader chooses which, and one short transaction does it to them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts
from perdure.messages.dead_letters import BITE, SHOWN, Bite, DeadFilter, DeadLetters, Edit, Edited, Pace, read_pace, write_pace
from perdure.messages.ids import write
from perdure.messages.message import MessageId, State, View
from perdure.messages.store import Filter
from perdure.security.audit import Actor
from perdure.stores.sql import letters
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.listing import ids_of
from perdure.stores.sql.revive import Letter, letters_of, refusal, revive_all
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqlDeadLetters"]

_LOOK = statement("letter_look")
_LOOKED_AT = 10_000
_decode_error = msgspec.json.Decoder(ErrorFacts).decode


class _Found(NamedTuple):
    ids: list[int]
    below: int | None
    """Go on with ids smaller than this; None at the end."""


class SqlDeadLetters(DeadLetters):
    """Does to dead letters what people want of them.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def edit(self, id: MessageId, edit: Edit, *, tenant: str | None = None, by: Actor | None = None) -> View:
        """Change a dead letter before its next life."""
        return await self._engine.write(letters.edit, id, edit, tenant, by)

    async def edits(self, id: MessageId, *, tenant: str | None = None) -> list[Edited]:
        """List how a message was edited, whatever became of it."""
        return await self._engine.read(letters.edits, id, tenant, self._engine.clock.now())

    async def discard(self, id: MessageId, *, tenant: str | None = None, by: Actor | None = None) -> None:
        """Forget a dead letter with all it owns."""
        await self._engine.write(letters.discard, id, tenant, by)

    async def look(self, filter: DeadFilter, *, limit: int = 10_000, cursor: str | None = None, shown: int = SHOWN) -> Bite:
        """Count the letters that fit, and show some."""
        below, _ = read_pace(cursor, None, 0.0)
        found = await self._engine.read(_find, filter, limit, below)
        return Bite(done=len(found.ids), sample=_sample(found.ids, shown), cursor=None if found.below is None else str(found.below))

    async def revive(
        self, filter: DeadFilter, *, per_s: float | None = None, limit: int = BITE, cursor: str | None = None, by: Actor | None = None
    ) -> Bite:
        """Give the letters that fit another life."""
        below, pace = read_pace(cursor, per_s, self._engine.clock.now())
        found = await self._engine.read(_find, filter, limit, below)
        return await self._engine.write(_revive, found, filter, pace, by)

    async def discard_all(
        self, filter: DeadFilter, *, per_s: float | None = None, limit: int = BITE, cursor: str | None = None, by: Actor | None = None
    ) -> Bite:
        """Forget the letters that fit, with all they own."""
        now = self._engine.clock.now()
        below, pace = read_pace(cursor, per_s, now)
        room = limit if pace is None else pace.room(now, limit)
        if pace is not None and not room:
            return Bite(due_at=pace.at(0), cursor=write_pace(below, pace))
        found = await self._engine.read(_find, filter, room, below)
        return await self._engine.write(_discard, found, filter, pace, by)


def _find(run: Run, filter: DeadFilter, limit: int, below: int) -> _Found:
    """As many as fit, looking at no more than a bounded number of others on the way."""
    wanted = Filter(tenant=filter.tenant, state=State.DEAD, queue=filter.queue, agent=filter.agent, code=filter.code)
    looks = any(given is not None for given in (filter.died_after, filter.died_before, filter.text, filter.died_of))
    found: list[int] = []
    with ExitStack() as cursors:
        for seen, one in enumerate(ids_of(run, wanted, below, cursors)):
            if len(found) == limit or (looks and seen == _LOOKED_AT):
                return _Found(found, one + 1)
            if not looks or _fits(run, filter, one):
                found.append(one)
    return _Found(found, None)


def _fits(run: Run, filter: DeadFilter, id: int) -> bool:
    row = run(_LOOK, (id,)).fetchone()
    if row is None:
        return False
    died_at, error, body = row
    if died_at < (filter.died_after or 0.0) or (filter.died_before is not None and died_at >= filter.died_before):
        return False
    facts = None if error is None else _decode_error(error)
    if filter.died_of is not None and not filter.died_of.has(facts):
        return False
    if filter.text is None:
        return True
    text = filter.text.casefold()
    return text in body.decode(errors="replace").casefold() or (facts is not None and text in facts.message.casefold())


def _revive(tx: Transaction, found: _Found, filter: DeadFilter, pace: Pace | None, by: Actor | None) -> Bite:
    chosen: list[tuple[Letter, Moment | None]] = []
    due_at: Moment | None = None
    for letter in letters_of(tx, found.ids):
        at = None if pace is None else pace.at(len(chosen))
        if refusal(letter.place, max(tx.now, at or 0.0)) is None:
            chosen.append((letter, at if at is None or at > tx.now else None))
            due_at = at
    done = [letter.place.id for letter, _ in chosen]
    if done:
        revive_all(tx, chosen)
        tx.audit(by, "dead-letters.revive", "*", **_named(filter, done), per_s=None if pace is None else pace.per_s)
    on = None if pace is None else pace.after(len(done))
    return _bite(found, done, None if found.below is None else write_pace(found.below, on), due_at)


def _discard(tx: Transaction, found: _Found, filter: DeadFilter, pace: Pace | None, by: Actor | None) -> Bite:
    places = [letter.place for letter in letters_of(tx, found.ids)]
    done = [place.id for place in places]
    if done:
        letters.discard_into_nothing(tx, places)
        tx.audit(by, "dead-letters.discard", "*", **_named(filter, done), per_s=None if pace is None else pace.per_s)
    if found.below is None:
        return _bite(found, done, None)
    on = None if pace is None else pace.after(len(done))
    return _bite(found, done, write_pace(found.below, on), None if on is None else on.at(0))


def _named(filter: DeadFilter, done: Sequence[int]) -> dict[str, object]:
    """What an audit row says of a bite: by which filter, how many, and between which ids."""
    return {"filter": filter.named, "count": len(done), "newest": write(MessageId(done[0])), "oldest": write(MessageId(done[-1]))}


def _bite(found: _Found, done: Sequence[int], cursor: str | None, due_at: Moment | None = None) -> Bite:
    return Bite(done=len(done), refused=len(found.ids) - len(done), sample=_sample(done), due_at=due_at, cursor=cursor)


def _sample(ids: Sequence[int], shown: int = SHOWN) -> list[MessageId]:
    return [MessageId(one) for one in ids[:shown]]
