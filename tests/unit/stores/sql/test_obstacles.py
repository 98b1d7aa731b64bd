"""Routes are listed for every lease, so what is known of them is not read again."""

from __future__ import annotations

from typing import Any

import apsw

from perdure.stores.sql.obstacles import RouteBook
from perdure.stores.sql.statements import statement
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.given import alive, dies, leased, message, put, soon, take


def reads(file: apsw.Connection, book: RouteBook) -> list[str]:
    """What is asked of the file for one listing."""
    asked: list[str] = []

    def run(sql: str, given: tuple[Any, ...] = ()) -> Any:
        asked.append(sql)
        return file.execute(sql, given)

    book.all(run)
    return asked


async def test_routes_that_have_not_changed_are_not_read_again(store: SqliteStore, file: apsw.Connection) -> None:
    await store.messages.put([message(queue=f"q{n}") for n in range(50)])
    book = RouteBook()
    assert statement("route_list") in reads(file, book)
    listed = book.all(file.execute)

    again = reads(file, book)

    assert statement("route_list") not in again
    assert len(again) <= 5
    assert book.all(file.execute) is listed


async def test_whatever_changes_about_a_route_is_seen_at_once(store: SqliteStore, second: SqliteStore, clock: FakeClock) -> None:
    one = await put(store, lane="p/m", queue="q")
    assert [route.paused for route in await store.messages.routes()] == [False]
    for which in ("q", None):
        await second.messages.pause(which)
        assert [route.paused for route in await store.messages.routes()] == [True]
        await second.messages.resume(which)
        assert [route.paused for route in await store.messages.routes()] == [False]
    for until in (soon(clock, 5), soon(clock, 9)):
        await second.messages.close_lane("p/m", until=until, why="x")
        assert [route.lane_closed_until for route in await store.messages.routes()] == [until]
    clock.pass_by(seconds=10)
    for _ in range(2):
        await leased(second, one)
        await dies(second, clock)
    assert [route.occupied for route in await store.messages.routes()] == [False, True]
    await take(second, await alive(second, quarantine=True), quarantine=True)
    assert [route.occupied for route in await store.messages.routes()] == [False, False]
