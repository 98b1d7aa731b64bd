"""What a store promises of lanes that a person opens by hand."""

from __future__ import annotations

from perdure.errors.base import RateLimited
from perdure.messages.message import Wait
from perdure.messages.routes import OPENED
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Grant, Heard, Need
from perdure.security.audit import Actor, DeedFilter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import alive, put, soon, take
from perdure.testing.kit import Kit

__all__ = ["OpeningKit"]


class OpeningKit(Kit, standard=True):
    """Opens what is closed, and wakes who was parked for it."""

    async def test_a_closed_lane_is_opened_by_hand_and_what_was_parked_for_it_goes_on(self, store: Store, clock: FakeClock) -> None:
        worker, until = await alive(store), soon(clock, 3600)
        leases = []
        for lane in ("p/m", "p/m", "p/m", "q/m"):
            await put(store, lane=lane)
            leases += await take(store, worker)
        limited = RateLimited("slow", retry_at=until).facts()
        for lease, error in zip(leases, (limited, limited, None, limited), strict=True):
            await store.messages.park(lease, Wait(why="rate-limit" if error else "sleep", until=until, error=error))
        ready = await put(store, lane="p/m")
        await store.messages.close_lane("p/m", until=until, why="provider-rate-limited")
        assert [(one.name, one.closed_why) for one in await store.lanes.lanes()] == [("p/m", "provider-rate-limited")]
        assert await take(store, worker, 10) == []
        assert await store.messages.open_lane("p/m", by=Actor("key_op"))
        assert not await store.messages.open_lane("p/m", by=Actor("key_op")), "it is open"
        assert list(await store.lanes.lanes()) == []
        [route] = [route for route in await store.messages.routes() if route.lane == "p/m"]
        assert route.lane_closed_why == OPENED
        assert abs((route.lane_closed_until or 0.0) - clock.now()) < 0.001
        assert [lease.message.id for lease in await take(store, worker, 10)] == [ready]
        clock.pass_by(seconds=1)
        await store.messages.tend()
        woken = {lease.message.id for lease in await take(store, await alive(store), 10)}
        assert woken == {lease.message.id for lease in leases[:2]}, "neither who sleeps nor who waits for another lane"
        [deed] = (await store.audit.list(DeedFilter(action="lane.open"))).deeds
        assert (deed.target, deed.who) == ("p/m", "key_op")
        await store.messages.close_lane("p/m", until=until, why="provider-rate-limited")
        await put(store, lane="p/m")
        assert await take(store, await alive(store)) == [], "who meets the same again closes it again"

    async def test_what_a_lanes_book_says_against_a_start_is_forgotten_when_it_is_opened(self, store: Store) -> None:
        worker = await alive(store)
        await store.lanes.turn("p/m", LaneLimits(), worker=worker, slow_for_s=600)
        await store.lanes.health("q/m", Heard.DOWN, worker=worker, rest_s=60, longest_rest_s=60)
        for lane in ("p/m", "q/m"):
            assert await store.messages.open_lane(lane)
            assert not await store.messages.open_lane(lane)
        turn = await store.lanes.turn("p/m", LaneLimits(), worker=worker, needs=[Need()])
        assert isinstance(turn.answers[0], Grant)
        assert (await store.lanes.health("q/m", Heard.ASKS, worker=worker, rest_s=60, longest_rest_s=60)).healthy
