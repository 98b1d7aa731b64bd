"""How a row looks from outside: one message, or a page of a listing."""

from __future__ import annotations

from perdure.clock import Moment
from perdure.errors.base import InvalidInput
from perdure.messages.ids import write
from perdure.messages.limits import held_by_limit, held_by_session
from perdure.messages.message import State, View
from perdure.messages.store import Filter, Page
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.queues import obstacle
from perdure.stores.inmemory.rows import Row

_COUNTED = 1000  # so far a place in a line is told

__all__ = ["held_by", "page", "view"]


def view(contents: Contents, row: Row, now: Moment) -> View:
    """Show a message as it is now.

    Args:
        contents (Contents): What the store keeps.
        row (Row): The message.
        now (Moment): The store's time.

    Returns:
        View: It.
    """
    return View(
        message=row.message,
        state=row.state,
        attempt=row.used + (row.state is State.LEASED),
        crashes=row.crashes,
        wait=row.wait,
        blocked_by=obstacle(contents, row.route, now) if row.state is State.READY or row.held_under is not None else None,
        held_by=held_by(contents, row),
        position=_position(contents, row),
        worker=row.worker,
        cancelling=row.called_off,
        started_at=row.started_at,
        ended_at=row.ended_at,
        result=row.result,
        error=row.error,
        usage=row.usage,
        code_version=row.code_version,
        revived=row.revived,
        replayed=row.replayed,
        forked_from=row.origin or None,
        forked_step=row.origin_step,
        imported=row.origin == 0,
    )


def held_by(contents: Contents, row: Row) -> str | None:
    """Say what holds a message.

    Args:
        contents (Contents): What the store keeps.
        row (Row): The message.

    Returns:
        str | None: None if it is not held.
    """
    if row.state is not State.HELD:
        return None
    if row.held_under is not None:
        return held_by_limit(row.held_under, contents.flow.limits.get(row.held_under[:2]))
    assert row.line is not None
    head = contents.flow.lines[row.line][0]
    return held_by_session(row.line[1], write(head.message.id) if head.state is State.DEAD else None)


def _position(contents: Contents, row: Row) -> int | None:
    if row.state is not State.HELD or row.line is None or row.held_under is not None:
        return None
    position = contents.flow.lines[row.line].index(row)
    return position if position <= _COUNTED else None


def page(contents: Contents, filter: Filter, limit: int, cursor: str | None, now: Moment) -> Page:
    """List messages, those put last first.

    Args:
        contents (Contents): What the store keeps.
        filter (Filter): Which.
        limit (int): At most this many.
        cursor (str | None): The id of the last one on the page before.
        now (Moment): The store's time.

    Returns:
        Page: Some of them.
    """
    below = None if cursor is None else _read_cursor(cursor)
    found = [row for row in contents.rows.values() if _fits(row, filter) and (below is None or row.message.id < below)]
    found.sort(key=lambda row: row.message.id, reverse=True)
    views = [view(contents, row, now) for row in found[:limit]]
    return Page(views, str(views[-1].message.id) if len(found) > limit else None)


def _read_cursor(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 20):
        raise InvalidInput(f"{cursor[:60]!r} is no cursor of ours", hint="Use `next_cursor` of the page before.")
    return int(cursor)


def _fits(row: Row, filter: Filter) -> bool:
    return (
        filter.tenant in (None, row.message.tenant)
        and filter.state in (None, row.state)
        and filter.queue in (None, row.message.queue)
        and filter.agent in (None, row.message.agent)
        and filter.session in (None, row.message.session)
        and (filter.code is None or (row.state is State.DEAD and row.error is not None and row.error.code == filter.code))
    )
