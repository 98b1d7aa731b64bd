"""What a store promises of whose turn it is: fairness between tenants, and sessions (SEMANTICS 5)."""

from __future__ import annotations

import asyncio

import pytest

from perdure.errors.base import InvalidInput
from perdure.messages.groups import NewGroup
from perdure.messages.ids import write
from perdure.messages.message import MessageId, State, Wait
from perdure.messages.store import Filter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, UNKNOWN, alive, leased, message, put, runs, soon, state, states, take
from perdure.testing.kit import Kit

__all__ = ["FlowKit"]


async def _tenants(store: Store, n: int) -> list[str]:
    """Whose messages the next leases take."""
    worker = await alive(store)
    taken = [lease.message.tenant for _ in range(n // 10) for lease in await take(store, worker, 10)]
    return taken + [lease.message.tenant for lease in await take(store, worker, n % 10)] if n % 10 else taken


async def _line(store: Store, n: int = 3, **changes: object) -> list[MessageId]:
    """Some messages of one session, in order."""
    return [await put(store, session="talk", **changes) for _ in range(n)]


class FlowKit(Kit, standard=True):
    """Lets tenants take turns, and keeps sessions in order."""

    # Fairness --------------------------------------------------------------------------------------

    async def test_tenants_with_a_backlog_take_turns(self, store: Store) -> None:
        for tenant in ("a", "b", "c"):
            await store.messages.put([message(tenant=tenant) for _ in range(12)])
        taken = await _tenants(store, 30)
        for end in range(30):
            counts = [taken[:end].count(tenant) for tenant in ("a", "b", "c")]
            assert max(counts) - min(counts) <= 3

    async def test_a_newcomer_waits_for_no_backlog(self, store: Store) -> None:
        await store.messages.put([message(tenant="bulk") for _ in range(100)])
        await _tenants(store, 10)
        await put(store, tenant="newcomer")
        assert "newcomer" in await _tenants(store, 3)

    async def test_a_bulk_delays_nothing_more_urgent_of_its_own_tenant(self, store: Store) -> None:
        await store.messages.put([message(priority=9) for _ in range(50)])
        urgent = await put(store, priority=0)
        [lease] = await take(store, await alive(store))
        assert lease.message.id == urgent

    async def test_what_costs_more_takes_more_of_its_tenants_share(self, store: Store) -> None:
        await store.messages.put([message(tenant="dear", cost=3) for _ in range(10)])
        await store.messages.put([message(tenant="cheap") for _ in range(10)])
        taken = await _tenants(store, 8)
        assert taken.count("cheap") > 2 * taken.count("dear") - 1

    async def test_many_that_come_back_at_once_still_leave_others_their_turn(self, store: Store, clock: FakeClock) -> None:
        await store.messages.put([message(tenant="late", due_at=soon(clock, 5)) for _ in range(50)])
        clock.pass_by(seconds=6)
        await store.messages.tend()
        await store.messages.put([message(tenant="other") for _ in range(5)])
        assert (await _tenants(store, 10)).count("other") >= 4

    async def test_a_newcomer_waits_for_no_backlog_on_a_slow_route_either(self, store: Store) -> None:
        await store.messages.put([message(queue="slow", tenant="bulk") for _ in range(40)])
        await store.messages.put([message(queue="fast", tenant="bulk") for _ in range(60)])
        worker = await alive(store)
        fast = [route for route in await store.messages.routes() if route.queue == "fast"]
        for _ in range(6):
            await store.messages.lease(fast, limit=10, worker=worker)
        newcomer = await put(store, queue="slow", tenant="newcomer")
        leases = await take(store, worker, 5)
        assert newcomer in {lease.message.id for lease in leases}

    # Sessions --------------------------------------------------------------------------------------

    async def test_of_a_session_only_the_head_may_run(self, store: Store) -> None:
        ids = await _line(store)
        assert await states(store, ids) == [State.READY, State.HELD, State.HELD]
        last = await store.messages.get(ids[2])
        assert (last.held_by, last.position, last.blocked_by) == ("session 'talk'", 2, None)
        assert len(await take(store, await alive(store), 10)) == 1

    async def test_a_session_runs_in_the_order_of_putting(self, store: Store) -> None:
        ids = await _line(store, 4)
        for id in ids:
            await store.messages.done(await leased(store, id), b"1")
        assert await states(store, ids) == [State.DONE] * 4

    async def test_one_put_has_its_order_too(self, store: Store) -> None:
        receipts = await store.messages.put([message(session="talk") for _ in range(3)])
        assert await states(store, [receipt.id for receipt in receipts]) == [State.READY, State.HELD, State.HELD]

    async def test_sessions_of_one_name_belong_to_their_tenants(self, store: Store) -> None:
        ids = [await put(store, session="talk", tenant=tenant) for tenant in ("a", "b")]
        assert await states(store, ids) == [State.READY, State.READY]

    async def test_concurrent_puts_make_one_line(self, store: Store) -> None:
        receipts = await asyncio.gather(*(store.messages.put([message(session="talk")]) for _ in range(8)))
        ids = sorted(receipt.id for [receipt] in receipts)
        assert await states(store, ids) == [State.READY] + [State.HELD] * 7
        for id in ids:
            await store.messages.done(await leased(store, id), b"1")

    async def test_what_the_head_waits_for_holds_the_rest(self, store: Store, clock: FakeClock) -> None:
        first, second, _ = await _line(store)
        await store.messages.retry(await leased(store, first), BROKE, at=soon(clock, 30))
        assert await states(store, [first, second]) == [State.LATER, State.HELD]
        clock.pass_by(seconds=31)
        await store.messages.tend()
        await store.messages.park(await leased(store, first), Wait(why="approval"))
        assert await states(store, [first, second]) == [State.WAITING, State.HELD]

    async def test_the_head_that_comes_back_is_still_the_head(self, store: Store) -> None:
        first, second, _ = await _line(store)
        await store.messages.release(await leased(store, first))
        assert await states(store, [first, second]) == [State.READY, State.HELD]

    @pytest.mark.parametrize("ends", ["done", "dead", "cancelled", "expired"])
    async def test_the_end_of_the_head_lets_the_next_run(self, store: Store, clock: FakeClock, ends: str) -> None:
        first = await put(store, session="talk", deadline=soon(clock, 60) if ends == "expired" else None)
        second = await put(store, session="talk")
        if ends == "cancelled":
            await store.messages.cancel(first)
        elif ends == "expired":
            clock.pass_by(seconds=61)
            await store.messages.tend()
        elif ends == "done":
            await store.messages.done(await leased(store, first), b"1")
        else:
            await store.messages.bury(await leased(store, first), BROKE)
        assert await state(store, second) is State.READY

    async def test_a_dead_letter_can_make_its_session_stand(self, store: Store) -> None:
        first, second = await _line(store, 2, on_dead="block")
        await store.messages.bury(await leased(store, first), BROKE)
        view = await store.messages.get(second)
        assert (view.state, view.held_by) == (State.HELD, f"session 'talk', which stands behind the dead letter {write(first)}")
        third = await put(store, session="talk")
        assert await state(store, third) is State.HELD

    async def test_a_session_that_stands_goes_on_from_the_one_that_is_revived(self, store: Store) -> None:
        first, second = await _line(store, 2, on_dead="block")
        await store.messages.bury(await leased(store, first), BROKE)
        assert (await store.messages.revive(first)).state is State.READY
        await store.messages.done(await leased(store, first), b"1")
        assert await state(store, second) is State.READY

    async def test_a_session_that_stands_goes_on_when_its_dead_letter_is_discarded(self, store: Store) -> None:
        first, second = await _line(store, 2, on_dead="block")
        await store.messages.bury(await leased(store, first), BROKE)
        await store.dead_letters.discard(first)
        assert await state(store, second) is State.READY

    async def test_who_is_revived_joins_at_the_end(self, store: Store) -> None:
        first, second, third = await _line(store)
        await store.messages.bury(await leased(store, first), BROKE)
        view = await store.messages.revive(first)
        assert (view.state, view.position, view.revived) == (State.HELD, 2, 1)
        for id in (second, third, first):
            await store.messages.done(await leased(store, id), b"1")

    async def test_the_line_is_as_urgent_as_its_most_urgent_member(self, store: Store) -> None:
        head = await put(store, session="talk", priority=9)
        other = await put(store, priority=5)
        urgent = await put(store, session="talk", priority=0)
        worker = await alive(store)
        [lease] = await take(store, worker)
        assert lease.message.id == head
        assert (await store.messages.get(head)).message.priority == 9
        await store.messages.done(lease, b"1")
        [lease] = await take(store, worker)
        assert lease.message.id == urgent
        await store.messages.done(lease, b"1")
        [lease] = await take(store, worker)
        assert lease.message.id == other

    async def test_a_line_is_no_more_urgent_than_who_is_left_in_it(self, store: Store) -> None:
        head = await put(store, session="talk", priority=9)
        urgent = await put(store, session="talk", priority=0)
        await store.messages.cancel(urgent)
        other = await put(store, priority=5)
        leases = await take(store, await alive(store), 2)
        assert [lease.message.id for lease in leases] == [other, head]

    async def test_whose_turn_comes_before_its_moment_waits_for_it(self, store: Store, clock: FakeClock) -> None:
        first = await put(store, session="talk")
        second = await put(store, session="talk", due_at=soon(clock, 60))
        assert (await store.messages.get(second)).wait == Wait(why="delay", until=soon(clock, 60))
        await store.messages.done(await leased(store, first), b"1")
        assert await state(store, second) is State.LATER
        clock.pass_by(seconds=61)
        await store.messages.tend()
        assert await state(store, second) is State.READY

    async def test_who_is_held_can_be_cancelled(self, store: Store) -> None:
        first, second, third = await _line(store)
        assert (await store.messages.cancel(second)).state is State.CANCELLED
        await store.messages.done(await leased(store, first), b"1")
        assert await state(store, third) is State.READY

    async def test_who_is_held_has_a_deadline_too(self, store: Store, clock: FakeClock) -> None:
        await put(store, session="talk")
        second = await put(store, session="talk", deadline=soon(clock, 10))
        clock.pass_by(seconds=11)
        assert (await store.messages.tend()).expired == 1
        view = await store.messages.get(second)
        assert view.error is not None
        assert (view.state, view.error.code) == (State.DEAD, "deadline-passed")

    async def test_who_is_held_too_long_is_given_up(self, store: Store, clock: FakeClock) -> None:
        await runs(store, session="talk")
        second = await put(store, session="talk", max_wait_s=100.0)
        clock.pass_by(seconds=99)
        assert (await store.messages.tend()).gave_up == 0
        clock.pass_by(seconds=2)
        assert (await store.messages.tend()).gave_up == 1
        view = await store.messages.get(second)
        assert view.error is not None
        assert view.error.code == "waited-too-long"
        assert "session 'talk'" in view.error.message

    async def test_a_dead_worker_holds_its_session_only_until_it_is_reaped(self, store: Store, clock: FakeClock) -> None:
        first, second, _ = await _line(store)
        await leased(store, first)
        clock.pass_by(seconds=11)
        await store.workers.reap()
        assert await states(store, [first, second]) == [State.READY, State.HELD]

    async def test_a_child_in_the_session_of_its_parent_is_refused(self, store: Store) -> None:
        parent = await runs(store, session="talk")
        child = await put(store, parent=parent.message.id)
        for above in (parent.message.id, child):
            with pytest.raises(InvalidInput):
                await put(store, parent=above, session="talk")
        await put(store, parent=parent.message.id, session="other")

    async def test_a_join_has_no_session(self, store: Store) -> None:
        with pytest.raises(InvalidInput):
            await store.messages.put([message()], group=NewGroup(name="g", then=message(session="talk")))

    async def test_held_ones_are_counted_listed_and_told(self, store: Store) -> None:
        first, second, third = await _line(store, queue="mail")
        [queue] = await store.messages.queues()
        assert {name: n for name, n in queue.counts.items() if n} == {"ready": 1, "held": 2}
        held = await store.messages.list(Filter(state=State.HELD))
        assert [view.message.id for view in held.views] == [third, second]
        assert [view.message.id for view in (await store.messages.list(Filter(session="talk"))).views] == [third, second, first]
        assert (await store.messages.list(Filter(session="other"))).views == []
        before = await store.messages.last_change()
        await store.messages.done(await leased(store, first), b"1")
        changes = [(change.id, change.state) for change in await store.messages.changes(before)]
        assert changes == [(first, State.LEASED), (first, State.DONE), (second, State.READY)]

    async def test_an_unknown_outcome_holds_the_session_until_somebody_decides(self, store: Store) -> None:
        first, second, _ = await _line(store)
        await store.messages.park(await leased(store, first), Wait(why="outcome-unknown", step=1, error=UNKNOWN))
        assert await state(store, second) is State.HELD
        await store.messages.cancel(first)
        assert await state(store, second) is State.READY

    async def test_a_put_says_it_all_back(self, store: Store) -> None:
        id = await put(store, session="talk", on_dead="block", key="k", cost=7)
        for said in ((await store.messages.get(id)).message, (await leased(store, id)).message):
            assert (said.session, said.on_dead, said.key, said.cost) == ("talk", "block", "k", 7)
