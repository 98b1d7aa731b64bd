"""Dead letters, in memory: edited, revived, discarded, one at a time or many."""

from __future__ import annotations

from perdure.messages.dead import beyond_revival
from perdure.messages.dead_letters import (
    BITE,
    SHOWN,
    Bite,
    DeadFilter,
    DeadLetters,
    Edit,
    Edited,
    edited,
    not_dead,
    read_pace,
    write_pace,
)
from perdure.messages.ids import write
from perdure.messages.message import MessageId, Move, State, View, Wait
from perdure.security.audit import Actor
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.rows import Row
from perdure.stores.inmemory.views import view

__all__ = ["InMemoryDeadLetters", "change", "dead", "first_body", "revive"]


class InMemoryDeadLetters(DeadLetters):
    """Does to dead letters what people want of them.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def edit(self, id: MessageId, edit: Edit, *, tenant: str | None = None, by: Actor | None = None) -> View:
        """Change a dead letter before its next life."""
        with self._contents.open() as now:
            row = dead(self._contents, id, tenant)
            change(self._contents, row, edit, by)
            return view(self._contents, row, now)

    async def edits(self, id: MessageId, *, tenant: str | None = None) -> list[Edited]:
        """List how a message was edited, whatever became of it."""
        with self._contents.open():
            self._contents.row(id, tenant)
            return list(self._contents.edits.get(id, ()))

    async def discard(self, id: MessageId, *, tenant: str | None = None, by: Actor | None = None) -> None:
        """Forget a dead letter with all it owns."""
        with self._contents.open():
            row = dead(self._contents, id, tenant)
            self._contents.note_deed(by, "dead-letter.discard", write(id), agent=row.message.agent, queue=row.message.queue)
            self._discard(row)

    async def look(self, filter: DeadFilter, *, limit: int = 10_000, cursor: str | None = None, shown: int = SHOWN) -> Bite:
        """Count the letters that fit, and show some."""
        with self._contents.open():
            rows, rest = self._find(filter, limit, read_pace(cursor, None, 0.0)[0])
            return Bite(done=len(rows), sample=_sample(rows, shown), cursor=None if rest is None else str(rest))

    async def revive(
        self, filter: DeadFilter, *, per_s: float | None = None, limit: int = BITE, cursor: str | None = None, by: Actor | None = None
    ) -> Bite:
        """Give the letters that fit another life."""
        with self._contents.open() as now:
            below, pace = read_pace(cursor, per_s, now)
            rows, rest = self._find(filter, limit, below)
            done: list[Row] = []
            due_at: float | None = None
            for row in rows:
                at = None if pace is None else pace.at(len(done))
                if beyond_revival(row.message.id, row.message.deadline, max(now, at or 0.0)) is None:
                    revive(self._contents, row, at if at is None or at > now else None)
                    done.append(row)
                    due_at = at
            if done:
                self._told(by, "dead-letters.revive", filter, done, per_s)
            on = None if pace is None else pace.after(len(done))
            cursor = None if rest is None else write_pace(rest, on)
            return Bite(done=len(done), refused=len(rows) - len(done), sample=_sample(done), due_at=due_at, cursor=cursor)

    async def discard_all(
        self, filter: DeadFilter, *, per_s: float | None = None, limit: int = BITE, cursor: str | None = None, by: Actor | None = None
    ) -> Bite:
        """Forget the letters that fit, with all they own."""
        with self._contents.open() as now:
            below, pace = read_pace(cursor, per_s, now)
            room = limit if pace is None else pace.room(now, limit)
            if pace is not None and not room:
                return Bite(due_at=pace.at(0), cursor=write_pace(below, pace))
            rows, rest = self._find(filter, room, below)
            for row in rows:
                self._discard(row)
            if rows:
                self._told(by, "dead-letters.discard", filter, rows, per_s)
            if rest is None:
                return Bite(done=len(rows), sample=_sample(rows))
            on = None if pace is None else pace.after(len(rows))
            due_at = None if on is None else on.at(0)
            return Bite(done=len(rows), sample=_sample(rows), due_at=due_at, cursor=write_pace(rest, on))

    def _find(self, filter: DeadFilter, limit: int, below: int) -> tuple[list[Row], int | None]:
        rows = [row for row in self._contents.rows.values() if row.message.id < below and _fits(row, filter)]
        rows.sort(key=lambda row: row.message.id, reverse=True)
        return rows[:limit], rows[limit].message.id + 1 if len(rows) > limit else None

    def _discard(self, row: Row) -> None:
        self._contents.total(row, "discarded")
        self._contents.tells("message.discarded", row)
        self._contents.forget(row)

    def _told(self, by: Actor | None, action: str, filter: DeadFilter, done: list[Row], per_s: float | None) -> None:
        newest, oldest = write(done[0].message.id), write(done[-1].message.id)
        self._contents.note_deed(by, action, "*", filter=filter.named, count=len(done), newest=newest, oldest=oldest, per_s=per_s)


def dead(contents: Contents, id: MessageId, tenant: str | None) -> Row:
    """Find a dead letter.

    Args:
        contents (Contents): What the store keeps.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.

    Returns:
        Row: It.

    Raises:
        Conflict: It is no dead letter.
    """
    row = contents.row(id, tenant)
    if row.state is not State.DEAD:
        raise not_dead(id, row.state)
    return row


def change(contents: Contents, row: Row, edit: Edit, by: Actor | None) -> None:
    """Change a dead letter, and keep what it was.

    Args:
        contents (Contents): What the store keeps.
        row (Row): It.
        edit (Edit): What is to be different.
        by (Actor | None): Who does it.
    """
    put = row.message
    if not edit.changes:
        return
    was = edit.kept_of(put)
    changed, body = sorted(was), was.pop("body", None)
    entry = Edited(at=contents.clock.now(), who="" if by is None else by.who, before=was, body=body)
    contents.edits.setdefault(put.id, []).append(entry)
    row.message = edited(put, edit)
    contents.note_deed(by, "dead-letter.edit", write(put.id), changed=changed)


def revive(contents: Contents, row: Row, at: float | None) -> None:
    """Let a dead letter live again.

    Args:
        contents (Contents): What the store keeps.
        row (Row): It.
        at (float | None): From when on; None is at once.
    """
    row.used, row.crashes, row.waiting_since, row.error = 0, 0, None, None
    row.revived += 1
    if at is None:
        contents.move(row, Move.REVIVE)
    else:
        contents.move(row, Move.RECALL, wait=Wait(why="paced", until=at))
    contents.total(row, "revived")


def first_body(contents: Contents, row: Row) -> bytes:
    """Tell with which body a message was put.

    Args:
        contents (Contents): What the store keeps.
        row (Row): It.

    Returns:
        bytes: Before any edit.
    """
    return next((entry.body for entry in contents.edits.get(row.message.id, ()) if entry.body is not None), row.message.body)


def _fits(row: Row, filter: DeadFilter) -> bool:
    if row.state is not State.DEAD or row.ended_at is None:
        return False
    error = row.error
    text = "" if filter.text is None else filter.text.casefold()
    return (
        filter.tenant in (None, row.message.tenant)
        and filter.queue in (None, row.message.queue)
        and filter.agent in (None, row.message.agent)
        and filter.code in (None, error.code if error else None)
        and (filter.died_of is None or filter.died_of.has(error))
        and (filter.died_after is None or row.ended_at >= filter.died_after)
        and (filter.died_before is None or row.ended_at < filter.died_before)
        and (text in row.message.body.decode(errors="replace").casefold() or (error is not None and text in error.message.casefold()))
    )


def _sample(rows: list[Row], shown: int = SHOWN) -> list[MessageId]:
    return [row.message.id for row in rows[:shown]]
