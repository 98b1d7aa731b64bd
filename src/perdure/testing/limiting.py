"""What a store promises of limits: so many of a queue, an agent, a tenant or a key at once."""

from __future__ import annotations

import pytest

from perdure.errors.base import InvalidInput
from perdure.messages.limits import Limit, LimitStatus, Scope
from perdure.messages.message import Lease, State, Wait
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, message, put, soon, state, states, take
from perdure.testing.kit import Kit

__all__ = ["LimitKit"]

OF_ACME = Limit(scope=Scope.TENANT, name="acme", at_once=2)


async def _takes(store: Store, limit: int = 10) -> list[Lease]:
    return await take(store, await alive(store), limit)


class LimitKit(Kit, standard=True):
    """Lets no more run at once than it was told."""

    @pytest.mark.parametrize(
        ("scope", "name", "changes"),
        [
            (Scope.TENANT, "acme", {"tenant": "acme"}),
            (Scope.QUEUE, "slow", {"queue": "slow"}),
            (Scope.AGENT, "mail", {}),
            (Scope.KEY, "slow", {"queue": "slow", "key": "k"}),
        ],
    )
    async def test_what_is_beyond_a_limit_is_held(self, store: Store, scope: Scope, name: str, changes: dict[str, str]) -> None:
        status = await store.messages.set_limit(Limit(scope=scope, name=name, at_once=2))
        assert status == LimitStatus(limit=Limit(scope=scope, name=name, at_once=2))
        ids = [await put(store, **changes) for _ in range(4)]
        assert await states(store, ids) == [State.READY, State.READY, State.HELD, State.HELD]
        held = await store.messages.get(ids[3])
        whose = "key 'k' of queue 'slow'" if scope is Scope.KEY else f"{scope.value} {name!r}"
        assert (held.held_by, held.position) == (f"limit {whose} (2 at once)", None)
        assert [(one.used, one.held) for one in await store.messages.limits()] == [(2, 2)]
        assert len(await _takes(store)) == 2

    async def test_others_are_not_held(self, store: Store) -> None:
        await store.messages.set_limit(Limit(scope=Scope.KEY, name="slow", at_once=1))
        ids = [await put(store, queue="slow", key=key) for key in ("a", "b", None, None)] + [await put(store, key="a")]
        assert await states(store, ids) == [State.READY] * 5

    @pytest.mark.parametrize("how", ["done", "dead", "retried", "asks", "sleeps", "cancelled"])
    async def test_who_ends_or_waits_gives_its_slot_to_the_next(self, store: Store, clock: FakeClock, how: str) -> None:
        await store.messages.set_limit(OF_ACME)
        ids = [await put(store, tenant="acme") for _ in range(4)]
        if how == "cancelled":
            await store.messages.cancel(ids[0])
        else:
            lease = (await _takes(store, 1))[0]
            assert await state(store, ids[2]) is State.HELD
            await {
                "done": lambda: store.messages.done(lease, b"1"),
                "dead": lambda: store.messages.bury(lease, BROKE),
                "retried": lambda: store.messages.retry(lease, BROKE, at=soon(clock)),
                "asks": lambda: store.messages.park(lease, Wait(why="approval")),
                "sleeps": lambda: store.messages.park(lease, Wait(why="sleep", until=soon(clock))),
            }[how]()
        assert (await states(store, ids))[1:] == [State.READY, State.READY, State.HELD]

    async def test_who_comes_back_needs_a_slot_again(self, store: Store, clock: FakeClock) -> None:
        await store.messages.set_limit(OF_ACME)
        ids = [await put(store, tenant="acme") for _ in range(3)]
        [lease] = await _takes(store, 1)
        await store.messages.retry(lease, BROKE, at=soon(clock, 10))
        clock.pass_by(seconds=11)
        assert (await store.messages.tend()).due == 1
        assert await states(store, ids) == [State.HELD, State.READY, State.READY]

    async def test_who_is_released_or_loses_its_worker_keeps_its_slot(self, store: Store, clock: FakeClock) -> None:
        await store.messages.set_limit(OF_ACME)
        ids = [await put(store, tenant="acme") for _ in range(3)]
        first, _ = await _takes(store)
        await store.messages.release(first)
        clock.pass_by(seconds=11)
        await store.workers.reap()
        assert await states(store, ids) == [State.READY, State.READY, State.HELD]
        assert [(one.used, one.held) for one in await store.messages.limits()] == [(2, 1)]

    async def test_the_most_urgent_is_admitted_first(self, store: Store) -> None:
        await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=1))
        await put(store, tenant="acme")
        idle, urgent = await put(store, tenant="acme", priority=9), await put(store, tenant="acme", priority=0)
        await store.messages.done((await _takes(store))[0], b"1")
        assert await states(store, [idle, urgent]) == [State.HELD, State.READY]

    async def test_several_limits_hold_at_once(self, store: Store) -> None:
        await store.messages.set_limit(OF_ACME)
        await store.messages.set_limit(Limit(scope=Scope.QUEUE, name="slow", at_once=1))
        slow = [await put(store, tenant="acme", queue="slow") for _ in range(2)]
        other = [await put(store, tenant="acme") for _ in range(2)]
        assert await states(store, slow + other) == [State.READY, State.HELD, State.READY, State.HELD]
        assert (await store.messages.get(slow[1])).held_by == "limit queue 'slow' (1 at once)"
        assert (await store.messages.get(other[1])).held_by == "limit tenant 'acme' (2 at once)"
        for lease in await _takes(store):
            await store.messages.done(lease, b"1")
        assert await states(store, slow + other) == [State.DONE, State.READY, State.DONE, State.READY]

    async def test_a_higher_limit_admits(self, store: Store) -> None:
        await store.messages.set_limit(OF_ACME)
        ids = [await put(store, tenant="acme") for _ in range(4)]
        status = await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=3))
        assert (status.used, status.held) == (3, 1)
        assert await states(store, ids) == [State.READY] * 3 + [State.HELD]

    async def test_a_lower_limit_lets_run_out(self, store: Store) -> None:
        await store.messages.set_limit(OF_ACME)
        ids = [await put(store, tenant="acme") for _ in range(3)]
        await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=1))
        first, second = await _takes(store)
        await store.messages.done(first, b"1")
        assert await state(store, ids[2]) is State.HELD
        await store.messages.done(second, b"1")
        assert await state(store, ids[2]) is State.READY

    async def test_a_lifted_limit_holds_nobody(self, store: Store) -> None:
        await store.messages.set_limit(OF_ACME)
        ids = [await put(store, tenant="acme") for _ in range(4)]
        assert await store.messages.drop_limit(Scope.TENANT, "acme")
        assert not await store.messages.drop_limit(Scope.TENANT, "acme")
        assert await states(store, ids) == [State.READY] * 4
        assert await store.messages.limits() == []

    async def test_a_lifted_limit_holds_nobody_where_nothing_can_start_either(self, store: Store) -> None:
        await alive(store)
        await store.messages.set_limit(OF_ACME)
        stranger = await put(store, tenant="acme", agent="nobody-knows")
        await store.messages.tend()
        assert (await store.messages.get(stranger)).held_by == "limit tenant 'acme' (2 at once)"
        await store.messages.drop_limit(Scope.TENANT, "acme")
        view = await store.messages.get(stranger)
        assert (view.state, view.held_by, view.blocked_by) == (State.READY, None, "no-worker")
        assert await store.messages.limits() == []

    async def test_who_a_lifted_limit_held_is_held_by_the_next_where_nothing_can_start(self, store: Store) -> None:
        await alive(store)
        await store.messages.set_limit(OF_ACME)
        await store.messages.set_limit(Limit(scope=Scope.AGENT, name="nobody-knows", at_once=1))
        stranger = await put(store, tenant="acme", agent="nobody-knows")
        await store.messages.tend()
        assert (await store.messages.get(stranger)).held_by == "limit agent 'nobody-knows' (1 at once)"
        await store.messages.drop_limit(Scope.AGENT, "nobody-knows")
        assert (await store.messages.get(stranger)).held_by == "limit tenant 'acme' (2 at once)"

    async def test_a_new_limit_holds_what_is_ready_already(self, store: Store) -> None:
        ids = [await put(store, tenant="acme") for _ in range(5)]
        running = await _takes(store, 1)
        status = await store.messages.set_limit(OF_ACME)
        assert (status.used, status.held) == (2, 3)
        assert await states(store, ids) == [State.LEASED, State.READY] + [State.HELD] * 3
        await store.messages.done(running[0], b"1")
        assert (await states(store, ids))[2] is State.READY

    async def test_a_limit_set_anew_counts_anew(self, store: Store) -> None:
        await store.messages.set_limit(OF_ACME)
        ids = [await put(store, tenant="acme") for _ in range(3)]
        await store.messages.drop_limit(Scope.TENANT, "acme")
        await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=1))
        assert await states(store, ids) == [State.READY, State.HELD, State.HELD]
        await store.messages.done((await _takes(store))[0], b"1")
        assert await states(store, ids) == [State.DONE, State.READY, State.HELD]

    async def test_who_cannot_start_takes_no_slot_from_others(self, store: Store) -> None:
        await alive(store)
        await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=1))
        stranger = await put(store, tenant="acme", agent="nobody-knows")
        other = await put(store, tenant="acme")
        assert await states(store, [stranger, other]) == [State.READY, State.HELD]
        await store.messages.tend()
        assert await states(store, [stranger, other]) == [State.HELD, State.READY]
        view = await store.messages.get(stranger)
        assert (view.held_by, view.blocked_by) == ("limit tenant 'acme' (1 at once)", "no-worker")
        await store.messages.done((await _takes(store))[0], b"1")
        assert await state(store, stranger) is State.HELD
        await alive(store, "nobody-knows")
        await store.messages.tend()
        assert await state(store, stranger) is State.READY

    async def test_a_paused_queue_takes_no_slots_either(self, store: Store) -> None:
        await alive(store)
        await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=1))
        slow, other = await put(store, tenant="acme", queue="slow"), await put(store, tenant="acme")
        await store.messages.pause("slow")
        await store.messages.tend()
        assert await states(store, [slow, other]) == [State.HELD, State.READY]
        await store.messages.done((await _takes(store))[0], b"1")
        await store.messages.resume("slow")
        await store.messages.tend()
        assert await state(store, slow) is State.READY

    async def test_a_place_given_up_is_there_for_who_comes_due_in_the_same_round(self, store: Store, clock: FakeClock) -> None:
        await alive(store)
        await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=1))
        slow, due = await put(store, tenant="acme", queue="slow"), await put(store, tenant="acme", due_at=soon(clock, 5))
        await store.messages.tend()
        await store.messages.pause("slow")
        clock.pass_by(seconds=6)
        before = await store.messages.last_change()
        assert (await store.messages.tend()).due == 1
        changes = [(change.id, change.state) for change in await store.messages.changes(before)]
        assert changes == [(slow, State.HELD), (due, State.READY)]

    async def test_a_session_waits_for_a_limit_at_its_head(self, store: Store) -> None:
        await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=1))
        other = await put(store, tenant="acme")
        head, behind = [await put(store, tenant="acme", session="talk") for _ in range(2)]
        assert (await store.messages.get(head)).held_by == "limit tenant 'acme' (1 at once)"
        assert (await store.messages.get(behind)).held_by == "session 'talk'"
        for id in (other, head, behind):
            [lease] = await _takes(store)
            assert lease.message.id == id
            await store.messages.done(lease, b"1")

    async def test_who_is_held_too_long_under_a_limit_is_given_up(self, store: Store, clock: FakeClock) -> None:
        await alive(store)
        await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=1))
        await put(store, tenant="acme")
        waits = await put(store, tenant="acme", max_wait_s=50.0)
        await _takes(store)
        clock.pass_by(seconds=51)
        assert (await store.messages.tend()).gave_up == 1
        view = await store.messages.get(waits)
        assert view.error is not None
        assert (view.state, view.error.code) == (State.DEAD, "waited-too-long")
        assert [(one.used, one.held) for one in await store.messages.limits()] == [(1, 0)]

    async def test_a_bulk_under_a_limit_is_let_in_in_its_order(self, store: Store) -> None:
        await store.messages.set_limit(OF_ACME)
        ids = [receipt.id for receipt in await store.messages.put([message(tenant="acme") for _ in range(40)])]
        worker, order = await alive(store), []
        while leases := await take(store, worker, 10):
            for lease in leases:
                order.append(lease.message.id)
                await store.messages.done(lease, b"1")
        assert order == ids

    async def test_what_is_kept_in_numbers_is_counted_again_now_and_then(self, store: Store, clock: FakeClock) -> None:
        await alive(store)
        await store.messages.put([message(tenant="acme") for _ in range(10)])
        await store.messages.set_limit(OF_ACME)
        clock.pass_by(seconds=4000)
        await store.messages.tend()
        assert [(one.used, one.held) for one in await store.messages.limits()] == [(2, 8)]

    @pytest.mark.parametrize(("name", "at_once"), [("", 1), ("x", 0), ("x" * 201, 1), ("x", 10**9)])
    async def test_nonsense_is_no_limit(self, name: str, at_once: int) -> None:
        with pytest.raises(InvalidInput):
            Limit(scope=Scope.QUEUE, name=name, at_once=at_once)
