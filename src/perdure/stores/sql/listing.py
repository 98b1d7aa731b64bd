"""Listing by filter and cursor, newest first, at the cost of what is returned.

Each table that says where messages lie is indexed by route and by tenant and route, in the order of
ids. A filter chooses states and routes; their index ranges are merged from the newest down, and read
only as far as the page goes. Leases have no index: there are never more than slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from heapq import merge
from itertools import islice
from typing import Any

from perdure.clock import Moment
from perdure.errors.base import InvalidInput
from perdure.messages.message import MessageId, State
from perdure.messages.store import Filter, Page
from perdure.stores.sql.places import state_of
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.views import Viewer

__all__ = ["RANGES", "ids_of", "page"]

RANGES = {
    name: statement(name)
    for name in (
        *(
            "list_all",
            "list_session",
            "list_held",
            "list_held_of",
            "list_ready",
            "list_ready_of",
            "list_later",
            "list_later_of",
            "list_waiting",
            "list_waiting_of",
            "list_leased",
        ),
        *("list_ended", "list_ended_of", "list_dead_code", "list_dead_code_of"),
    )
}
"""The ranges that are merged, by name; a test looks at the plan of each."""
_ROUTES, _TENANT = statement("route_list"), statement("tenant_find")
_FACTS = statement("message_facts")
_NEWEST = 2**63 - 1


def page(run: Run, filter: Filter, limit: int, cursor: str | None, now: Moment) -> Page:
    """List some messages.

    Args:
        run (Run): Of a reader.
        filter (Filter): Which.
        limit (int): At most so many.
        cursor (str | None): Where the page before ended.
        now (Moment): The store's time.

    Returns:
        Page: Those put last first.
    """
    below = _NEWEST if cursor is None else _read_cursor(cursor)
    with ExitStack() as cursors:
        ids = list(islice(ids_of(run, filter, below, cursors), limit + 1))
    viewer = Viewer(run, now)
    views = [viewer.view(MessageId(one)) for one in ids[:limit]]
    return Page(views, str(ids[limit - 1]) if len(ids) > limit else None)


def _read_cursor(cursor: str) -> int:
    number = int(cursor) if cursor.isascii() and cursor.isdecimal() and len(cursor) <= 20 else _NEWEST + 1
    if number > _NEWEST:
        raise InvalidInput(f"{cursor[:60]!r} is no cursor of ours", hint="Use `next_cursor` of the page before.")
    return number


def ids_of(run: Run, filter: Filter, below: int, cursors: ExitStack) -> Iterator[int]:
    """Go through the ids of what fits, the newest first, reading no further than is asked.

    Args:
        run (Run): Of a reader.
        filter (Filter): Which.
        below (int): Only ids smaller than this.
        cursors (ExitStack): Closes what was opened.

    Returns:
        Iterator[int]: Ids.
    """
    tenant: int | None = None
    if filter.tenant is not None:
        tenant = run(_TENANT, (filter.tenant,)).get
        if tenant is None:
            return iter(())

    def ids(name: str, *given: Any) -> Iterator[int]:
        return (one for (one,) in cursors.enter_context(closing(run(RANGES[name], (*given, below)))))

    if filter.session is not None:
        return (one for one in ids("list_session", filter.session) if _fits(run, MessageId(one), filter))
    if filter == Filter():
        return ids("list_all")
    routes = [route for route, queue, agent, *_ in run(_ROUTES) if filter.queue in (None, queue) and filter.agent in (None, agent)]
    ranges: list[Iterator[int]] = []
    for state in _states(filter):
        if state is State.LEASED:
            leased = cursors.enter_context(closing(run(RANGES["list_leased"], (below,))))
            ranges.append(_of_these(leased, set(routes), tenant))
        else:
            ranges += [_range(ids, state, filter.code, tenant, route) for route in routes]
    return merge(*ranges, reverse=True)


def _fits(run: Run, id: MessageId, filter: Filter) -> bool:
    """For one of a session, which are few enough to be looked at."""
    tenant, queue, agent, code = run(_FACTS, (id,)).fetchone()
    return (
        filter.tenant in (None, tenant)
        and filter.queue in (None, queue)
        and filter.agent in (None, agent)
        and filter.code in (None, code)
        and (filter.state is None or filter.state is state_of(run, id))
    )


def _states(filter: Filter) -> tuple[State, ...]:
    if filter.code is not None:
        return (State.DEAD,) if filter.state in (None, State.DEAD) else ()
    if filter.state is not None:
        return (filter.state,)
    return (State.READY, State.LATER, State.HELD, State.WAITING, State.LEASED, State.DONE, State.DEAD, State.CANCELLED)


def _range(ids: Any, state: State, code: str | None, tenant: int | None, route: int) -> Iterator[int]:
    whose = () if tenant is None else (tenant,)
    suffix = "_of" if whose else ""
    found: Iterator[int]
    if code is not None:
        found = ids(f"list_dead_code{suffix}", code, *whose, route)
    elif state in (State.READY, State.LATER, State.HELD, State.WAITING):
        found = ids(f"list_{state}{suffix}", *whose, route)
    else:
        found = ids(f"list_ended{suffix}", state, *whose, route)
    return found


def _of_these(leased: Iterable[tuple[int, int, int]], routes: set[int], tenant: int | None) -> Iterator[int]:
    return (one for one, route, whose in leased if route in routes and tenant in (None, whose))
