"""The kit that proves how lanes are shared: rates, calls at once, money, and one probe of a lane that is down."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from datetime import UTC, datetime, timedelta

import pytest

from perdure.errors.base import WorkerFenced
from perdure.messages.message import WorkerId
from perdure.providers.headroom import Headroom
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Correction, Grant, Heard, Need, NotYet, Reason, Standing, Turn
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import alive, dies
from perdure.testing.opening import OpeningKit

__all__ = ["LaneKit"]

LANE = "qwen/max"
PER_MINUTE = LaneLimits(rpm=60, tpm=6000, gentle_s=0)


async def _asks(store: Store, worker: WorkerId, *needs: Need, limits: LaneLimits = PER_MINUTE, lane: str = LANE, holds: int = 0) -> Turn:
    """Take a turn with nothing but needs."""
    return await store.lanes.turn(lane, limits, worker=worker, needs=needs, holds=holds)


async def _one(store: Store, worker: WorkerId, need: Need | None = None, limits: LaneLimits = PER_MINUTE) -> Grant | NotYet:
    """Ask for one thing."""
    [answer] = (await _asks(store, worker, need or Need(), limits=limits)).answers
    return answer


async def _granted(store: Store, worker: WorkerId, need: Need | None = None, limits: LaneLimits = PER_MINUTE) -> Grant:
    """Ask for one thing that can be had."""
    answer = await _one(store, worker, need, limits)
    assert isinstance(answer, Grant)
    return answer


async def _refused(store: Store, worker: WorkerId, need: Need | None = None, limits: LaneLimits = PER_MINUTE) -> NotYet:
    """Ask for one thing that cannot be had."""
    answer = await _one(store, worker, need, limits)
    assert isinstance(answer, NotYet)
    return answer


class LaneKit(OpeningKit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and how your store lends is proved."""

    # Rates -----------------------------------------------------------------------------------------

    async def test_no_minute_holds_more_than_the_limits_and_hardly_any_less(self, store: Store, clock: FakeClock) -> None:
        workers = [await alive(store) for _ in range(3)]
        began, starts, open_calls = clock.now(), list[tuple[float, int]](), list[tuple[float, Correction]]()
        for n in itertools.takewhile(lambda _: clock.now() - began < 180, itertools.count()):
            over = [correction for ends_at, correction in open_calls if ends_at <= clock.now()]
            open_calls = [call for call in open_calls if call[0] > clock.now()]
            used = 80 + n * 7 % 31
            need = Need(tokens=110, patience_s=1.0)
            turn = await store.lanes.turn(LANE, PER_MINUTE, worker=workers[n % 3], needs=[need], corrections=over)
            [answer] = turn.answers
            if isinstance(answer, Grant):
                starts.append((clock.now() + answer.wait_s, used))
                open_calls.append((starts[-1][0] + 0.5, Correction(slot=answer.slot, reserved=110, used=used)))
            clock.pass_by(seconds=n * 13 % 40 / 100 if isinstance(answer, Grant) else 0.4)
        moments = [at for at, _ in starts]
        for begin, at in enumerate(moments):
            end = bisect_left(moments, at + 60)
            assert end - begin <= 60
            assert sum(tokens for _, tokens in starts[begin:end]) <= 6000
        total = sum(tokens for at, tokens in starts if at < began + 180)
        assert max(total / 18_000, bisect_left(moments, began + 180) / 180) >= 0.95

    async def test_starts_are_spread_evenly(self, store: Store) -> None:
        worker = await alive(store)
        turn = await _asks(store, worker, *[Need(patience_s=9.0)] * 5)
        waits = [answer.wait_s for answer in turn.answers]
        assert waits[0] == 0.0
        assert all(0.9 < later - sooner < 1.1 for sooner, later in itertools.pairwise(waits))

    async def test_large_requests_are_spread_by_their_tokens(self, store: Store) -> None:
        worker = await alive(store)
        turn = await _asks(store, worker, *[Need(tokens=600, patience_s=30.0)] * 3)
        assert [round(answer.wait_s) for answer in turn.answers] == [0, 6, 12]

    async def test_all_workers_stand_in_one_line(self, store: Store) -> None:
        workers = [await alive(store) for _ in range(3)]
        waits = [(await _granted(store, worker, Need(patience_s=9.0))).wait_s for worker in workers]
        assert [round(wait) for wait in waits] == [0, 1, 2]

    async def test_who_has_no_patience_for_it_is_told_how_long_it_takes_and_takes_nothing(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store)
        await _granted(store, worker)
        for _ in range(3):
            answer = await _refused(store, worker, Need(patience_s=0.5))
            assert answer.why is Reason.RATE
            assert 0.8 < answer.wait_s < 1.1
        clock.pass_by(seconds=1.1)
        await _granted(store, worker)

    async def test_nobody_is_overtaken_by_who_comes_behind(self, store: Store) -> None:
        worker = await alive(store)
        large, small = Need(tokens=3000, patience_s=1.0), Need(tokens=1, patience_s=60.0)
        await _granted(store, worker, Need(tokens=3000))
        turn = await _asks(store, worker, large, small)
        assert [type(answer) for answer in turn.answers] == [NotYet, NotYet]

    async def test_what_was_not_used_is_lent_anew(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store)
        grant = await _granted(store, worker, Need(tokens=6000))
        assert (await _refused(store, worker, Need(tokens=3000))).wait_s > 59
        back = [Correction(slot=grant.slot, reserved=6000, used=100)]
        await store.lanes.turn(LANE, PER_MINUTE, worker=worker, corrections=back)
        clock.pass_by(seconds=1.1)
        await _granted(store, worker, Need(tokens=3000))

    async def test_long_calls_that_reserve_much_hardly_hold_up_those_behind_them(self, store: Store, clock: FakeClock) -> None:
        worker, open_calls, begun = await alive(store), list[Correction](), 0
        for _ in range(300):
            over = [open_calls.pop(0)] if len(open_calls) > 10 else []
            turn = await store.lanes.turn(LANE, PER_MINUTE, worker=worker, needs=[Need(tokens=200, patience_s=1.0)], corrections=over)
            [answer] = turn.answers
            if isinstance(answer, Grant):
                begun += 1
                open_calls.append(Correction(slot=answer.slot, reserved=200, used=50))
            clock.pass_by(seconds=1)
        assert begun >= 270  # at a pace by what is reserved it were 150

    async def test_what_was_used_beyond_is_not_lent(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store)
        grant = await _granted(store, worker, Need(tokens=100))
        await store.lanes.turn(LANE, PER_MINUTE, worker=worker, corrections=[Correction(slot=grant.slot, reserved=100, used=5900)])
        clock.pass_by(seconds=30)
        assert (await _refused(store, worker, Need(tokens=101))).wait_s > 29

    async def test_a_request_that_was_never_sent_does_not_count(self, store: Store) -> None:
        worker = await alive(store)
        once = LaneLimits(rpm=1, gentle_s=0)
        grant = await _granted(store, worker, limits=once)
        await store.lanes.turn(LANE, once, worker=worker, corrections=[Correction(slot=grant.slot, requests=-1)])
        [shown] = await store.lanes.lanes()
        assert shown.requests == 0

    async def test_one_too_large_for_any_minute_gets_one_for_itself(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store)
        await _granted(store, worker, Need(tokens=9000))
        clock.pass_by(seconds=50)
        assert (await _refused(store, worker, Need(tokens=1))).why is Reason.RATE
        clock.pass_by(seconds=12)
        await _granted(store, worker, Need(tokens=1))

    async def test_a_slice_counts_as_all_that_is_in_it(self, store: Store) -> None:
        worker = await alive(store)
        await _granted(store, worker, Need(requests=5, tokens=50))
        assert 4.5 < (await _refused(store, worker)).wait_s < 5.5
        [shown] = await store.lanes.lanes()
        assert (shown.requests, shown.tokens) == (5, 50)

    async def test_lanes_do_not_touch_each_other(self, store: Store) -> None:
        worker = await alive(store)
        for lane in (LANE, "qwen/mini"):
            [answer] = (await _asks(store, worker, Need(tokens=6000), lane=lane)).answers
            assert isinstance(answer, Grant)
        assert [shown.name for shown in await store.lanes.lanes()] == [LANE, "qwen/mini"]

    async def test_a_rate_by_the_second_holds_beside_one_by_the_minute(self, store: Store) -> None:
        worker, limits = await alive(store), LaneLimits(rps=2, rpm=4, gentle_s=0)
        turn = await _asks(store, worker, *[Need(patience_s=5.0)] * 5, limits=limits)
        assert [round(answer.wait_s, 1) for answer in turn.answers[:4]] == [0.0, 0.4, 0.9, 1.4]
        assert isinstance(turn.answers[4], NotYet)
        assert turn.answers[4].wait_s > 58

    # Gently ----------------------------------------------------------------------------------------

    async def test_a_fast_lane_begins_gently_after_a_pause(self, store: Store, clock: FakeClock) -> None:
        worker, limits = await alive(store), LaneLimits(rpm=6000, gentle_s=10)

        async def in_a_second() -> int:
            turn = await _asks(store, worker, *[Need(patience_s=1.0)] * 200, limits=limits)
            return sum(isinstance(answer, Grant) for answer in turn.answers)

        assert 8 <= await in_a_second() <= 25
        for _ in range(12):
            clock.pass_by(seconds=1)
            await in_a_second()
        clock.pass_by(seconds=1)
        assert 90 <= await in_a_second() <= 112
        clock.pass_by(seconds=90)
        assert 8 <= await in_a_second() <= 25

    async def test_a_slow_lane_does_not_need_to(self, store: Store) -> None:
        worker = await alive(store)
        turn = await _asks(store, worker, *[Need(patience_s=9.0)] * 3, limits=LaneLimits(rpm=60, gentle_s=10))
        assert [round(answer.wait_s) for answer in turn.answers] == [0, 1, 2]

    async def test_what_the_provider_refuses_stops_all_and_then_they_begin_gently(self, store: Store, clock: FakeClock) -> None:
        worker, other = await alive(store), await alive(store)
        limits = LaneLimits(rpm=600, gentle_s=10)
        await store.lanes.turn(LANE, limits, worker=worker, slow_for_s=30.0)
        assert 29 < (await _refused(store, other, limits=limits)).wait_s <= 30
        clock.pass_by(seconds=30)
        turn = await _asks(store, other, *[Need(patience_s=9.0)] * 3, limits=limits)
        waits = [answer.wait_s for answer in turn.answers]
        assert 0.2 < waits[1] - waits[0] < 0.5  # a tenth of a second at full speed

    async def test_what_the_provider_says_is_left_is_all_there_is(self, store: Store, clock: FakeClock) -> None:
        worker, limits = await alive(store), LaneLimits(rpm=6000, tpm=600_000, gentle_s=0)
        said = Headroom(requests=2, requests_for_s=20.0, tokens=10_000, tokens_for_s=5.0)
        await store.lanes.turn(LANE, limits, worker=worker, headroom=said)
        assert (await _refused(store, worker, Need(tokens=10_001), limits)).wait_s == pytest.approx(5.0, abs=0.01)
        clock.pass_by(seconds=5.1)
        await _granted(store, worker, Need(tokens=10_001, patience_s=1.0), limits)
        clock.pass_by(seconds=1)
        await _granted(store, worker, Need(patience_s=1.0), limits)
        clock.pass_by(seconds=1)
        assert (await _refused(store, worker, limits=limits)).wait_s == pytest.approx(12.9, abs=0.01)

    async def test_what_comes_back_by_and_by_is_lent_by_and_by(self, store: Store, clock: FakeClock) -> None:
        worker, limits = await alive(store), LaneLimits(rpm=6000, gentle_s=0)
        said = Headroom(requests=0, requests_for_s=60.0, requests_a_second=0.5)
        await store.lanes.turn(LANE, limits, worker=worker, headroom=said)
        assert (await _refused(store, worker, limits=limits)).wait_s == pytest.approx(2.0, abs=0.01)
        clock.pass_by(seconds=2.1)
        await _granted(store, worker, limits=limits)
        assert (await _refused(store, worker, limits=limits)).wait_s == pytest.approx(1.9, abs=0.01)

    # Calls at once ---------------------------------------------------------------------------------

    async def test_no_more_calls_are_under_way_than_the_limit(self, store: Store) -> None:
        worker, other, limits = await alive(store), await alive(store), LaneLimits(at_once=3)
        turn = await _asks(store, worker, Need(), Need(), limits=limits)
        assert turn.free == 1
        turn = await _asks(store, other, Need(), Need(), limits=limits)
        first, second = turn.answers
        assert isinstance(first, Grant)
        assert isinstance(second, NotYet)
        assert (second.why, turn.free) == (Reason.AT_ONCE, 0)
        await _asks(store, worker, limits=limits, holds=1)
        await _granted(store, other, limits=limits)

    async def test_what_a_dead_worker_held_is_free_again(self, store: Store, clock: FakeClock) -> None:
        worker, limits = await alive(store), LaneLimits(at_once=1)
        await _granted(store, worker, limits=limits)
        assert (await _refused(store, await alive(store), limits=limits)).why is Reason.AT_ONCE
        await dies(store, clock)
        await _granted(store, await alive(store), limits=limits)

    async def test_whoever_bows_out_holds_nothing_either(self, store: Store) -> None:
        worker, limits = await alive(store), LaneLimits(at_once=1)
        await _granted(store, worker, limits=limits)
        await store.workers.bow_out(worker)
        await _granted(store, await alive(store), limits=limits)

    async def test_a_fenced_worker_gets_nothing_and_changes_nothing(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store)
        grant = await _granted(store, worker, Need(tokens=100))
        await dies(store, clock)
        with pytest.raises(WorkerFenced):
            await store.lanes.turn(LANE, PER_MINUTE, worker=worker, needs=[Need()], corrections=[Correction(slot=grant.slot, tokens=-100)])
        with pytest.raises(WorkerFenced):
            await store.lanes.health(LANE, Heard.DOWN, worker=worker, rest_s=5.0, longest_rest_s=60.0)
        [shown] = await store.lanes.lanes()
        assert (shown.requests, shown.tokens, shown.workers, shown.down) == (1, 100, 0, False)

    async def test_whoever_shares_a_lane_is_counted_and_whoever_waits_is_known(self, store: Store, clock: FakeClock) -> None:
        worker, other = await alive(store), await alive(store)
        turn = await _asks(store, worker, *[Need()] * 4)
        assert (turn.askers, turn.pressed) == (1, False)
        turn = await _asks(store, other)
        assert (turn.askers, turn.pressed) == (2, True)
        [shown] = await store.lanes.lanes()
        assert (shown.waiting, shown.workers, shown.limits) == (3, 2, PER_MINUTE)
        clock.pass_by(seconds=9)
        turn = await _asks(store, other)
        clock.pass_by(seconds=2)
        turn = await _asks(store, other)
        assert (turn.askers, turn.pressed) == (1, False)

    # Money -----------------------------------------------------------------------------------------

    async def test_a_day_costs_no_more_than_it_may(self, store: Store, clock: FakeClock) -> None:
        worker, limits = await alive(store), LaneLimits(usd_per_day=1.0)
        now = datetime.fromtimestamp(clock.now(), UTC)
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(2):
            await _granted(store, worker, Need(usd=0.4), limits)
        answer = await _refused(store, worker, Need(usd=0.4), limits)
        assert (answer.why, clock.now() + answer.wait_s) == (Reason.BUDGET, midnight.timestamp())
        await _granted(store, worker, Need(usd=0.2), limits)
        assert (await _refused(store, worker, limits=limits)).why is Reason.BUDGET
        clock.pass_by(seconds=answer.wait_s)
        await _granted(store, worker, Need(usd=0.4), limits)

    async def test_what_a_call_did_not_cost_may_be_spent(self, store: Store, clock: FakeClock) -> None:
        worker, limits = await alive(store), LaneLimits(usd_per_day=1.0, usd_per_month=30.0)
        grant = await _granted(store, worker, Need(usd=0.9), limits)
        clock.pass_by(seconds=600)  # long after its minute
        await store.lanes.turn(LANE, limits, worker=worker, corrections=[Correction(slot=grant.slot, usd=-0.8)])
        await _granted(store, worker, Need(usd=0.8), limits)
        [shown] = await store.lanes.lanes()
        assert (round(shown.usd_today, 6), round(shown.usd_this_month, 6)) == (0.9, 0.9)

    async def test_a_month_that_is_spent_is_waited_for_to_its_first(self, store: Store, clock: FakeClock) -> None:
        worker, limits = await alive(store), LaneLimits(usd_per_day=9.0, usd_per_month=1.0)
        await _granted(store, worker, Need(usd=1.0), limits)
        answer = await _refused(store, worker, Need(usd=0.1), limits)
        opens = datetime.fromtimestamp(clock.now() + answer.wait_s, UTC)
        assert (opens.day, opens.hour, opens.minute) == (1, 0, 0)
        assert answer.why is Reason.BUDGET

    async def test_what_could_never_be_paid_is_not_waited_for(self, store: Store) -> None:
        worker, limits = await alive(store), LaneLimits(usd_per_day=1.0)
        assert (await _refused(store, worker, Need(usd=1.1), limits)).why is Reason.TOO_DEAR

    async def test_money_that_a_dead_worker_did_not_account_for_is_spent(self, store: Store, clock: FakeClock) -> None:
        limits = LaneLimits(usd_per_day=1.0)
        await _granted(store, await alive(store), Need(usd=0.7), limits)
        await dies(store, clock)
        assert (await _refused(store, await alive(store), Need(usd=0.7), limits)).why is Reason.BUDGET

    # Down ------------------------------------------------------------------------------------------

    async def test_of_all_workers_one_alone_makes_the_call_that_goes_through_to_see(self, store: Store, clock: FakeClock) -> None:
        workers = [await alive(store) for _ in range(3)]

        async def says(worker: WorkerId, heard: Heard) -> Standing:
            return await store.lanes.health(LANE, heard, worker=worker, rest_s=5.0, longest_rest_s=8.0)

        assert (await says(workers[0], Heard.DOWN)).wait_s == 5.0
        assert (await says(workers[1], Heard.DOWN)).wait_s == 5.0
        assert (await says(workers[1], Heard.ASKS)).wait_s == 5.0
        clock.pass_by(seconds=5)
        stands = [await says(worker, Heard.ASKS) for worker in workers]
        assert [one.probe for one in stands] == [True, False, False]
        assert stands[1].wait_s == 5.0
        await says(workers[2], Heard.MENDED)  # not its probe
        assert (await says(workers[0], Heard.FAILED)).wait_s == 8.0
        clock.pass_by(seconds=8)
        assert (await says(workers[2], Heard.ASKS)).probe
        [shown] = await store.lanes.lanes()
        assert shown.down
        assert (await says(workers[2], Heard.MENDED)).healthy
        assert (await says(workers[1], Heard.ASKS)).healthy

    async def test_a_probe_that_said_nothing_or_died_leaves_its_turn(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store)

        async def says(worker: WorkerId, heard: Heard) -> Standing:
            return await store.lanes.health(LANE, heard, worker=worker, rest_s=5.0, longest_rest_s=60.0)

        await says(worker, Heard.DOWN)
        clock.pass_by(seconds=5)
        assert (await says(worker, Heard.ASKS)).probe
        await says(worker, Heard.GAVE_UP)
        assert (await says(worker, Heard.ASKS)).probe
        await dies(store, clock)
        assert (await says(await alive(store), Heard.ASKS)).probe

    # Shown -----------------------------------------------------------------------------------------

    async def test_a_lane_is_shown_with_what_stands_against_it(self, store: Store, clock: FakeClock) -> None:
        assert list(await store.lanes.lanes()) == []
        worker = await alive(store)
        await _granted(store, worker, Need(tokens=600))
        await store.messages.close_lane(LANE, until=clock.now() + 30, why="provider-rate-limited")
        [shown] = await store.lanes.lanes()
        assert (shown.closed_until, shown.closed_why) == (clock.now() + 30, "provider-rate-limited")
        assert shown.next_at is not None
        assert 5.5 < shown.next_at - clock.now() < 6.5
        clock.pass_by(seconds=61.1)
        [shown] = await store.lanes.lanes()
        assert (shown.closed_until, shown.closed_why, shown.next_at, shown.requests, shown.tokens) == (None, None, None, 0, 0)
