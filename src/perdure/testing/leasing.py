"""What a store promises of leasing: order, routes, pauses, lanes, and one worker at a time (SEMANTICS 3-5, 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from perdure.errors.base import LeaseLost, WorkerFenced
from perdure.messages.message import Lease, State, Wait, WorkerId
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, card, dies, message, open_routes, put, runs, soon, state, take
from perdure.testing.kit import Kit

__all__ = ["LeasingKit"]

LAST_WORDS: dict[str, Callable[[Store, Lease], Awaitable[None]]] = {
    "done": lambda store, lease: store.messages.done(lease, b'"late"'),
    "retry": lambda store, lease: store.messages.retry(lease, BROKE, at=0),
    "bury": lambda store, lease: store.messages.bury(lease, BROKE),
    "park": lambda store, lease: store.messages.park(lease, Wait(why="sleep", until=0)),
    "release": lambda store, lease: store.messages.release(lease),
}
stale: pytest.MarkDecorator = pytest.mark.parametrize("write", LAST_WORDS.values(), ids=LAST_WORDS.keys())


class LeasingKit(Kit, standard=True):
    """Takes messages, as the right worker, the wrong one and a late one."""

    async def test_a_leased_message_says_who_has_it(self, store: Store, clock: FakeClock) -> None:
        id = await put(store)
        clock.pass_by(seconds=3)
        worker = await alive(store)
        [lease] = await take(store, worker)
        view = await store.messages.get(id)
        assert (lease.message, lease.worker, lease.attempt, lease.crashes) == (view.message, worker, 1, 0)
        assert (lease.leased_at, lease.waiting_since) == (clock.now(), None)
        assert (view.state, view.worker, view.attempt, view.started_at) == (State.LEASED, worker, 1, clock.now())

    async def test_nobody_else_gets_a_leased_message(self, store: Store) -> None:
        await runs(store)
        assert await take(store, await alive(store), 10) == []

    async def test_nothing_ready_is_an_empty_list(self, store: Store) -> None:
        worker = await alive(store)
        assert await take(store, worker, 10) == []
        assert await store.messages.lease([], limit=10, worker=worker) == []

    async def test_no_more_are_taken_than_asked_for(self, store: Store) -> None:
        await store.messages.put([message() for _ in range(7)])
        worker = await alive(store)
        assert [len(await take(store, worker, 3)) for _ in range(4)] == [3, 3, 1, 0]

    async def test_urgent_ones_come_first_over_all_routes(self, store: Store) -> None:
        wanted = [9, 0, 5, 0, 7, 5]
        for n, priority in enumerate(wanted):
            await put(store, priority=priority, queue=f"queue {n % 3}", lane=None if n % 2 else "p/m")
        leases = await take(store, await alive(store), 10)
        assert [lease.message.priority for lease in leases] == sorted(wanted)

    async def test_equally_urgent_ones_come_in_the_order_of_putting(self, store: Store) -> None:
        ids = [await put(store, queue=f"queue {n % 4}") for n in range(12)]
        leases = await take(store, await alive(store), 12)
        assert [lease.message.id for lease in leases] == ids

    @pytest.mark.parametrize("at_once", [True, False], ids=["in-one-call", "one-by-one"])
    async def test_every_sixteenth_lease_takes_the_one_put_earliest(self, store: Store, at_once: bool) -> None:
        idle = [await put(store, priority=9) for _ in range(2)]
        await store.messages.put([message(priority=0) for _ in range(40)])
        worker = await alive(store)
        leases = await take(store, worker, 34) if at_once else [lease for _ in range(34) for lease in await take(store, worker)]
        assert [n for n, lease in enumerate(leases, 1) if lease.message.id in idle] == [16, 32]
        assert leases[15].message.id == idle[0]

    async def test_only_the_given_routes_are_leased(self, store: Store) -> None:
        await put(store, queue="theirs", priority=0)
        ours = await put(store, queue="ours", priority=9)
        routes = [route for route in await store.messages.routes() if route.queue == "ours"]
        leases = await store.messages.lease(routes, limit=10, worker=await alive(store))
        assert [lease.message.id for lease in leases] == [ours]

    async def test_equal_needs_share_a_route_and_others_do_not(self, store: Store) -> None:
        different: list[dict[str, str]] = [{}, {"queue": "q"}, {"agent": "a"}, {"version": "v2"}, {"lane": "p/m"}]
        for changes in different * 2:
            await put(store, **changes)
        routes = await store.messages.routes()
        assert len({route.id for route in routes}) == len(routes) == len(different)
        assert {(route.queue, route.agent, route.version, route.lane) for route in routes} == {
            ("default", "mail", None, None),
            ("q", "mail", None, None),
            ("default", "a", None, None),
            ("default", "mail", "v2", None),
            ("default", "mail", None, "p/m"),
        }

    async def test_what_is_leased_together_is_what_was_put(self, store: Store, clock: FakeClock) -> None:
        clock.pass_by(seconds=0.123456789)
        odd = ['"\\u0000 \\" \\\\"', '"ü 漢 \U0001f9ca \u2028 \x7f"', "1e16", '{"a":[' + '"' + "x" * 100_000 + '"]}', "0.1", "null"]
        for text in odd:
            await put(store, body=text.encode(), metadata={"who": 'Zoë " \\'}, deadline=clock.now() + 1e6 / 3, timeout_s=1 / 3)
        leases = await store.messages.lease(await open_routes(store), limit=10, worker=await alive(store))
        assert [lease.message.body.decode() for lease in leases] == odd
        for lease in leases:
            assert lease.message == (await store.messages.get(lease.message.id)).message

    async def test_workers_that_lease_together_share(self, store: Store) -> None:
        await store.messages.put([message() for _ in range(40)])
        routes = await open_routes(store)
        workers = [await alive(store) for _ in range(4)]
        taken = await asyncio.gather(*(store.messages.lease(routes, limit=10, worker=worker) for worker in workers))
        assert len({lease.message.id for leases in taken for lease in leases}) == 40

    async def test_who_was_declared_dead_leases_nothing(self, store: Store, clock: FakeClock) -> None:
        await put(store)
        dead = await alive(store)
        await dies(store, clock)
        with pytest.raises(WorkerFenced):
            await take(store, dead)

    async def test_who_never_registered_leases_nothing(self, store: Store) -> None:
        await put(store)
        with pytest.raises(WorkerFenced):
            await take(store, WorkerId(987_654_321))

    async def test_a_paused_queue_gives_nothing_until_it_is_resumed(self, store: Store) -> None:
        await put(store, queue="one")
        free = await put(store, queue="two")
        before = await open_routes(store)
        await store.messages.pause("one")
        worker = await alive(store)
        taken = await store.messages.lease(before, limit=10, worker=worker)
        assert [lease.message.id for lease in taken] == [free], "a worker that has not heard of the pause gets nothing either"
        assert {route.queue: route.paused for route in await store.messages.routes()} == {"one": True, "two": False}
        await store.messages.resume("one")
        assert len(await take(store, worker, 10)) == 1

    async def test_a_queue_can_be_paused_before_it_has_messages(self, store: Store) -> None:
        await store.messages.pause("new")
        await put(store, queue="new")
        assert await take(store, await alive(store)) == []

    async def test_pausing_everything_stops_all_leasing_at_once(self, store: Store) -> None:
        await put(store)
        before = await open_routes(store)
        await store.messages.pause(None)
        worker = await alive(store)
        assert await store.messages.paused()
        assert await store.messages.lease(before, limit=10, worker=worker) == []
        await store.messages.resume(None)
        assert not await store.messages.paused()
        assert len(await take(store, worker)) == 1

    async def test_lifting_the_pause_of_everything_leaves_single_queues_paused(self, store: Store) -> None:
        await put(store, queue="one")
        await store.messages.pause("one")
        await store.messages.pause(None)
        await store.messages.resume(None)
        assert await take(store, await alive(store)) == []

    async def test_a_running_message_goes_on_in_a_paused_queue(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.pause("default")
        await store.messages.done(lease, b"1")
        assert await state(store, lease.message.id) is State.DONE

    async def test_a_closed_lane_starts_nothing_until_its_moment(self, store: Store, clock: FakeClock) -> None:
        await put(store, lane="qwen/max")
        others = [await put(store, lane="qwen/mini"), await put(store)]
        before = await open_routes(store)
        until = soon(clock, 60)
        await store.messages.close_lane("qwen/max", until=until, why="provider-rate-limited")
        worker = await alive(store)
        assert [lease.message.id for lease in await store.messages.lease(before, limit=10, worker=worker)] == others
        closed = {route.lane: (route.lane_closed_until, route.lane_closed_why) for route in await store.messages.routes()}
        assert closed["qwen/max"] == (until, "provider-rate-limited")
        clock.pass_by(seconds=61)
        assert len(await take(store, worker, 10)) == 1

    async def test_a_lane_stays_closed_for_the_longest_time_named(self, store: Store, clock: FakeClock) -> None:
        await put(store, lane="p/m")
        for seconds in (30, 90, 60):
            await store.messages.close_lane("p/m", until=soon(clock, seconds), why="provider-billing")
        clock.pass_by(seconds=89)
        worker = await alive(store)
        assert await take(store, worker) == []
        clock.pass_by(seconds=2)
        assert len(await take(store, worker)) == 1

    async def test_a_lane_can_be_closed_before_it_has_messages(self, store: Store, clock: FakeClock) -> None:
        await store.messages.close_lane("p/m", until=soon(clock), why="provider-rate-limited")
        await put(store, lane="p/m")
        assert await take(store, await alive(store)) == []

    async def test_a_ready_message_says_what_stands_in_its_way(self, store: Store, clock: FakeClock) -> None:
        id = await put(store, queue="q", version="v2", lane="p/m")

        async def blocked_by() -> str | None:
            return (await store.messages.get(id)).blocked_by

        assert await blocked_by() == "no-worker"
        await alive(store, "mail@v1")
        await store.workers.register(card("mail@v2", queues=["another"]))
        assert await blocked_by() == "no-worker", "one has another version, one does not serve the queue"
        await alive(store, "mail@v2")
        assert await blocked_by() is None
        await store.messages.close_lane("p/m", until=soon(clock), why="provider-rate-limited")
        assert await blocked_by() == "lane-closed"
        await store.messages.pause("q")
        assert await blocked_by() == "queue-paused"
        await store.messages.pause(None)
        assert await blocked_by() == "all-paused"
        await store.messages.resume(None)
        await store.messages.resume("q")
        await dies(store, clock)
        assert await blocked_by() == "no-worker"

    @stale
    async def test_a_stale_lease_writes_nothing(
        self, store: Store, clock: FakeClock, write: Callable[[Store, Lease], Awaitable[None]]
    ) -> None:
        lease = await runs(store)
        await dies(store, clock)
        await take(store, await alive(store))
        before = await _all_there_is(store, lease)
        with pytest.raises(LeaseLost):
            await write(store, lease)
        assert await _all_there_is(store, lease) == before

    @stale
    async def test_a_lease_has_one_end(self, store: Store, write: Callable[[Store, Lease], Awaitable[None]]) -> None:
        lease = await runs(store)
        await store.messages.release(lease)
        with pytest.raises(LeaseLost):
            await write(store, lease)

    @stale
    async def test_the_same_worker_cannot_write_with_its_older_lease(
        self, store: Store, write: Callable[[Store, Lease], Awaitable[None]]
    ) -> None:
        older = await runs(store)
        await store.messages.release(older)
        [newer] = await take(store, older.worker)
        with pytest.raises(LeaseLost):
            await write(store, older)
        await store.messages.done(newer, b"1")

    async def test_refused_writes_are_counted(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.release(lease)
        for write in LAST_WORDS.values():
            with pytest.raises(LeaseLost):
                await write(store, lease)
        assert (await store.messages.counters())["refused_stale"] == len(LAST_WORDS)

    async def test_of_two_that_finish_together_one_wins(self, store: Store) -> None:
        lease = await runs(store)
        ends = await asyncio.gather(*(store.messages.done(lease, str(n).encode()) for n in range(5)), return_exceptions=True)
        assert sorted(type(end).__name__ for end in ends) == ["LeaseLost"] * 4 + ["NoneType"]


async def _all_there_is(store: Store, lease: Lease) -> object:
    id = lease.message.id
    return (
        await store.messages.get(id),
        await store.messages.attempts(id),
        await store.messages.last_change(),
        await store.messages.queues(),
        await store.journal.steps(id),
    )
