"""What a store promises of what one sees: listings, numbers, changes (SEMANTICS 2, 3, 10)."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from perdure.errors.base import InvalidInput, NotFound, StoreClosed
from perdure.messages.message import ENDS, MOVES, MessageId, State
from perdure.messages.retention import Keep
from perdure.messages.store import Filter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, NO_CREDIT, alive, asks, dies, leased, message, put, runs, soon, take
from perdure.testing.kit import Kit

__all__ = ["LookingKit"]


async def of_every_kind(store: Store, clock: FakeClock) -> dict[State, MessageId]:
    """Bring a message to each place there is.

    Args:
        store (Store): Where.
        clock (FakeClock): Its time.

    Returns:
        dict[State, MessageId]: Which one is where.
    """
    places = {}
    places[State.DONE] = await put(store)
    await store.messages.done(await leased(store, places[State.DONE]), b"1")
    places[State.DEAD] = await put(store)
    await store.messages.bury(await leased(store, places[State.DEAD]), BROKE)
    places[State.WAITING] = await put(store)
    await asks(store, await leased(store, places[State.WAITING]))
    places[State.LEASED] = await put(store)
    await leased(store, places[State.LEASED])
    places[State.CANCELLED] = await put(store)
    await store.messages.cancel(places[State.CANCELLED])
    places[State.LATER] = await put(store, due_at=soon(clock, 100))
    places[State.READY] = await put(store)
    return places


async def all_pages(store: Store, filter: Filter, *, limit: int) -> list[MessageId]:
    """Follow a listing to its end.

    Args:
        store (Store): Where.
        filter (Filter): Which messages.
        limit (int): How many on a page.

    Returns:
        list[MessageId]: All ids, in the order of the pages.
    """
    ids: list[MessageId] = []
    page = await store.messages.list(filter, limit=limit)
    while True:
        assert len(page.views) <= limit
        ids += [view.message.id for view in page.views]
        if page.cursor is None:
            return ids
        page = await store.messages.list(filter, limit=limit, cursor=page.cursor)


class LookingKit(Kit, standard=True):
    """Looks at what is kept from every side, while it moves."""

    async def test_what_was_put_last_is_listed_first(self, store: Store) -> None:
        ids = [await put(store) for _ in range(5)]
        assert await all_pages(store, Filter(), limit=50) == ids[::-1]

    async def test_each_place_can_be_listed_alone(self, store: Store, clock: FakeClock) -> None:
        for place, id in (await of_every_kind(store, clock)).items():
            assert await all_pages(store, Filter(state=place), limit=50) == [id]

    async def test_a_listing_shows_what_get_shows(self, store: Store, clock: FakeClock) -> None:
        await of_every_kind(store, clock)
        views = (await store.messages.list(Filter())).views
        assert [await store.messages.get(view.message.id) for view in views] == list(views)

    async def test_filters_narrow_together(self, store: Store) -> None:
        wanted: dict[str, Any] = {"tenant": "t", "queue": "q", "agent": "a"}
        ids = [await put(store, **wanted) for _ in range(2)]
        for name in wanted:
            await put(store, **(wanted | {name: "another"}))
        assert await all_pages(store, Filter(**wanted, state=State.READY), limit=50) == ids[::-1]
        for name, value in wanted.items():
            assert len(await all_pages(store, Filter(**{name: value}), limit=50)) == 4

    async def test_dead_letters_are_listed_by_their_error(self, store: Store) -> None:
        broke, poor = await runs(store), await runs(store)
        await store.messages.bury(broke, BROKE)
        await store.messages.bury(poor, NO_CREDIT)
        assert await all_pages(store, Filter(state=State.DEAD, code=BROKE.code), limit=50) == [broke.message.id]
        assert await all_pages(store, Filter(code=NO_CREDIT.code), limit=50) == [poor.message.id]
        await store.messages.revive(poor.message.id)
        assert await all_pages(store, Filter(code=NO_CREDIT.code), limit=50) == []

    @pytest.mark.parametrize("limit", [1, 3, 7, 100])
    async def test_pages_are_complete_and_repeat_nothing(self, store: Store, limit: int) -> None:
        receipts = await store.messages.put([message() for _ in range(21)])
        assert await all_pages(store, Filter(), limit=limit) == [receipt.id for receipt in receipts][::-1]

    async def test_pages_are_complete_while_things_move(self, store: Store) -> None:
        receipts = await store.messages.put([message() for _ in range(12)])
        staying = {receipt.id for receipt in receipts[4:]}
        worker = await alive(store)
        seen: list[MessageId] = []
        cursor = None
        while True:
            page = await store.messages.list(Filter(state=State.READY), limit=2, cursor=cursor)
            seen += [view.message.id for view in page.views]
            cursor = page.cursor
            if cursor is None:
                break
            await put(store)
            await put(store, priority=0)
            await take(store, worker, 2)
        assert len(seen) == len(set(seen)), "nothing is shown twice"
        still = {id for id in staying if (await store.messages.get(id)).state is State.READY}
        assert still <= set(seen), "nothing that stayed is left out"

    @pytest.mark.parametrize("cursor", ["", "nonsense", "-1", "1.5", "msg_0", "1;drop", "９"])
    async def test_a_cursor_of_somebody_else_is_refused(self, store: Store, cursor: str) -> None:
        await put(store)
        with pytest.raises(InvalidInput):
            await store.messages.list(Filter(), cursor=cursor)

    async def test_queues_say_what_can_be_counted(self, store: Store, clock: FakeClock) -> None:
        await of_every_kind(store, clock)
        await store.messages.put(
            [message(queue="another", dedup_key="k"), message(queue="another", dedup_key="k"), message(queue="another")]
        )
        await store.messages.pause("another")
        await store.messages.pause("empty")
        another, default, empty = await store.messages.queues()
        assert [(queue.name, queue.paused) for queue in (another, default, empty)] == [
            ("another", True),
            ("default", False),
            ("empty", True),
        ]
        for queue in (another, default, empty):
            views = (await store.messages.list(Filter(queue=queue.name), limit=100)).views
            counted = Counter(view.state.value for view in views)
            assert {place: count for place, count in queue.counts.items() if count} == counted
        assert another.totals["put"] == 2

    async def test_totals_count_what_has_happened(self, store: Store, clock: FakeClock) -> None:
        await of_every_kind(store, clock)
        id = await put(store, priority=0)
        await store.messages.retry(await leased(store, id), BROKE, at=clock.now())
        await store.messages.tend()
        await store.messages.bury(await leased(store, id), BROKE)
        await store.messages.revive(id)
        await leased(store, id)
        await dies(store, clock)
        [queue] = await store.messages.queues()
        totals = {name: count for name, count in queue.totals.items() if count}
        assert totals == {"put": 8, "done": 1, "dead": 2, "cancelled": 1, "retried": 1, "revived": 1, "crashed": 2}

    async def test_the_age_of_the_backlog_is_told(self, store: Store, clock: FakeClock) -> None:
        since = clock.now()
        await put(store)
        clock.pass_by(seconds=60)
        await put(store)
        [queue] = await store.messages.queues()
        assert queue.oldest_ready_at == since
        await take(store, await alive(store), 2)
        [queue] = await store.messages.queues()
        assert queue.oldest_ready_at is None

    async def test_the_change_sequence_tells_every_move_in_order(self, store: Store, clock: FakeClock) -> None:
        await of_every_kind(store, clock)
        await dies(store, clock)
        clock.pass_by(seconds=100)
        await store.messages.tend()
        changes = await store.messages.changes(0)
        assert [change.seq for change in changes] == sorted({change.seq for change in changes})
        assert changes[-1].seq == await store.messages.last_change()
        paths: dict[MessageId, list[State]] = defaultdict(list)
        for change in changes:
            paths[change.id].append(change.state)
        for id, path in paths.items():
            for here, there in pairwise(path):
                assert there in MOVES[here].values(), f"{here} to {there} is no move"
            assert path[-1] is (await store.messages.get(id)).state
        assert len(paths) == 7

    async def test_a_change_says_whose_it_is(self, store: Store, clock: FakeClock) -> None:
        id = await put(store, tenant="t", queue="q", agent="a")
        [change] = await store.messages.changes(0)
        said = (change.id, change.tenant, change.queue, change.agent, change.state, change.at)
        assert said == (id, "t", "q", "a", State.READY, clock.now())

    async def test_changes_are_read_in_parts(self, store: Store) -> None:
        for tenant in ("one", "two", "one", "two"):
            await put(store, tenant=tenant)
        everything = await store.messages.changes(0)
        assert await store.messages.changes(0, limit=3) == everything[:3]
        assert await store.messages.changes(everything[1].seq) == everything[2:]
        assert await store.messages.changes(0, tenant="two") == everything[1::2]
        assert await store.messages.changes(everything[-1].seq) == []

    async def test_old_changes_are_let_go_and_their_numbers_never_used_again(self, store: Store, clock: FakeClock) -> None:
        await put(store)
        last = await store.messages.last_change()
        clock.pass_by(seconds=25 * 3600)
        await store.messages.tend()
        await store.retention.tidy(Keep())
        assert await store.messages.changes(0) == []
        assert await store.messages.last_change() == last
        await put(store)
        assert [change.seq > last for change in await store.messages.changes(0)] == [True]

    async def test_a_new_store_has_no_changes(self, store: Store) -> None:
        assert (await store.messages.last_change(), await store.messages.changes(0)) == (0, [])

    async def test_who_is_behind_need_not_wait_for_a_change(self, store: Store) -> None:
        await put(store)
        assert await store.messages.changed(0, timeout_s=60) == await store.messages.last_change()

    async def test_who_waits_is_woken_by_the_next_change(self, store: Store) -> None:
        before = await store.messages.last_change()
        waiting = asyncio.create_task(store.messages.changed(before, timeout_s=60))
        await asyncio.sleep(0)
        await put(store)
        assert await waiting > before

    async def test_waiting_for_a_change_has_a_limit(self, store: Store) -> None:
        await put(store)
        last = await store.messages.last_change()
        assert await store.messages.changed(last, timeout_s=0.01) == last

    async def test_nothing_went_wrong_with_a_new_message(self, store: Store) -> None:
        assert list(await store.messages.attempts(await put(store))) == []

    async def test_an_end_is_kept_for_ever(self, store: Store, clock: FakeClock) -> None:
        places = await of_every_kind(store, clock)
        ends = {place: await store.messages.get(id) for place, id in places.items() if place in ENDS}
        clock.pass_by(seconds=3600)
        await dies(store, clock)
        await store.messages.tend()
        for view in ends.values():
            assert await store.messages.get(view.message.id) == view

    async def test_a_closed_store_says_so(self, store: Store) -> None:
        id = await put(store)
        await store.__aexit__(None, None, None)
        with pytest.raises(StoreClosed):
            await store.messages.get(id)
        with pytest.raises(StoreClosed):
            await store.messages.put([message()])
        with pytest.raises(StoreClosed):
            await store.check()

    async def test_opened_again_it_holds_what_it_held(self, store: Store, clock: FakeClock) -> None:
        places = await of_every_kind(store, clock)
        del places[State.LEASED]  # who held it is gone with the process, or is not: both are right
        await store.memory.write("t", "notes", "k", b"1")
        await store.messages.pause("later")
        views = {id: await store.messages.get(id) for id in places.values()}
        steps = await store.journal.steps(places[State.WAITING])
        last = await store.messages.last_change()
        await store.__aexit__(None, None, None)
        await store.__aenter__()
        for id, view in views.items():
            assert await store.messages.get(id) == view
        assert await store.journal.steps(places[State.WAITING]) == steps != []
        assert await store.memory.read("t", "notes", "k") == b"1"
        assert [queue.paused for queue in await store.messages.queues()] == [False, True]
        assert await store.messages.last_change() >= last
        assert await put(store) > max(places.values())

    async def test_an_open_store_answers(self, store: Store) -> None:
        await store.check()
        with pytest.raises(NotFound):
            await store.messages.get(MessageId(1))
