"""What a store promises of spending: what is held before a call, what is booked after it, and the brake."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.agents.journal import StepKind
from perdure.errors.base import BudgetReached, CallTooDear, LeaseLost
from perdure.messages.message import Wait
from perdure.messages.retention import Keep
from perdure.messages.spending import EACH, Account, Bill, Budget, BudgetScope, BudgetStatus, Entry, account_of, day_of
from perdure.messages.terms import with_terms
from perdure.resources.usage import Usage
from perdure.security.audit import Actor, DeedFilter
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, dies, intent, leased, runs, take
from perdure.testing.kit import Kit

__all__ = ["SpendingKit"]

_USD = 1_000_000_000
_ALL, _TENANT, _KEY = BudgetScope.INSTALLATION, BudgetScope.TENANT, BudgetScope.KEY


def _bill(clock: FakeClock, usd: float = 0.0, **changes: Any) -> Bill:
    whose = {"tenant": "default", "key": "key_1", "agent": "mail", "lane": "fake/m"} | changes
    return Bill(day=day_of(clock.now()), account=Account(**whose), held_nanousd=int(usd * _USD))


def _used(usd: float | None, **counts: int) -> Usage:
    return Usage(calls=1, **counts).priced(usd)


async def _today(store: Store, clock: FakeClock) -> list[Entry]:
    return list(await store.spending.entries(day_of(clock.now()), day_of(clock.now())))


async def _gone(store: Store, clock: FakeClock) -> tuple[float, float]:
    found = await _today(store, clock)
    return round(sum(one.usage.cost_usd or 0.0 for one in found), 9), round(sum(one.held_usd for one in found), 9)


async def _caps(store: Store, scope: BudgetScope, name: str, usd: float | None) -> None:
    await store.spending.set_budget(Budget(scope=scope, name=name, daily_usd=usd))


class SpendingKit(Kit, standard=True):
    """Books what calls cost, and lets none begin that there is no money for."""

    async def test_what_a_call_may_cost_is_held_until_it_is_known(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        bill = _bill(clock, 0.5)
        await store.journal.intend(lease, intent(1, bill=bill))
        assert await _gone(store, clock) == (0.0, 0.5)
        await store.journal.record(lease, 1, b"1", usage=_used(0.2, input_tokens=5, output_tokens=7, cached_tokens=3), bill=bill)
        [entry] = await _today(store, clock)
        assert (entry.account, entry.day, entry.held_usd, entry.usage.cost_usd) == (bill.account, bill.day, 0.0, 0.2)
        assert (entry.usage.calls, entry.usage.input_tokens, entry.usage.output_tokens, entry.usage.cached_tokens) == (1, 5, 7, 3)
        counters = await store.messages.counters()
        assert (counters["cost_nanousd"], counters.get("unpriced_calls", 0)) == (200_000_000, 0)

    async def test_of_a_call_whose_cost_is_never_known_what_was_held_stays(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        for number, end in ((1, "record"), (2, "fail"), (3, "crash")):
            bill = _bill(clock, 0.5)
            await store.journal.intend(lease, intent(number, kind=StepKind.LLM, bill=bill))
            if end == "record":
                await store.journal.record(lease, number, b"1", usage=_used(None), bill=bill)
            elif end == "fail":
                await store.journal.fail(lease, number, BROKE, usage=_used(None), bill=bill)
        await dies(store, clock)
        assert await _gone(store, clock) == (0.0, 1.5)
        [entry] = await _today(store, clock)
        assert (entry.usage.calls, entry.usage.unpriced) == (2, 2)
        assert (await store.messages.counters())["unpriced_calls"] == 2

    async def test_a_call_that_cost_nothing_gives_back_what_was_held(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        bill = _bill(clock, 0.5)
        await store.journal.intend(lease, intent(1, bill=bill))
        await store.journal.defer(lease, 1, BROKE, bill=bill)
        assert await _gone(store, clock) == (0.0, 0.0)
        await store.journal.intend(lease, intent(1, bill=bill))
        await store.journal.fail(lease, 1, BROKE, usage=_used(0.0), bill=bill)
        assert await _gone(store, clock) == (0.0, 0.0)

    @pytest.mark.parametrize(("scope", "name"), [(_ALL, EACH), (_TENANT, "acme"), (_TENANT, EACH), (_KEY, "key_9"), (_KEY, EACH)])
    async def test_a_call_that_there_is_no_money_for_is_not_begun(
        self, store: Store, clock: FakeClock, scope: BudgetScope, name: str
    ) -> None:
        await _caps(store, scope, name, 1.0)
        lease = await runs(store, tenant="acme", metadata=with_terms({}, by="key_9"))
        bill = Bill(day=day_of(clock.now()), account=account_of(lease.message, "fake/m"), held_nanousd=int(0.6 * _USD))
        await store.journal.intend(lease, intent(1, bill=bill))
        with pytest.raises(BudgetReached) as stopped:
            await store.journal.intend(lease, intent(2, bill=bill))
        assert stopped.value.retry_at is not None
        assert day_of(stopped.value.retry_at - 1) == bill.day != day_of(stopped.value.retry_at)
        assert [step.number for step in await store.journal.steps(lease.message.id)] == [1], "nothing was written of it"
        assert await _gone(store, clock) == (0.0, 0.6)
        await store.journal.record(lease, 1, b"1", usage=_used(0.3), bill=bill)
        await store.journal.intend(lease, intent(2, bill=bill))  # the first was cheaper than it might have been

    async def test_others_spend_on_and_the_next_day_all_do(self, store: Store, clock: FakeClock) -> None:
        await _caps(store, _TENANT, EACH, 1.0)
        await _caps(store, _TENANT, "rich", 5.0)
        await store.spending.reserve(_bill(clock, 1.0, tenant="acme"))
        with pytest.raises(BudgetReached) as stopped:
            await store.spending.reserve(_bill(clock, 0.1, tenant="acme"))
        await store.spending.reserve(_bill(clock, 1.0, tenant="other"))
        for _ in range(5):
            await store.spending.reserve(_bill(clock, 1.0, tenant="rich"))
        clock.pass_by(seconds=(stopped.value.retry_at or 0.0) - clock.now())
        await store.spending.reserve(_bill(clock, 0.1, tenant="acme"))

    async def test_of_many_at_once_none_begins_once_those_before_are_counted(self, store: Store, clock: FakeClock) -> None:
        await _caps(store, _ALL, EACH, 1.0)
        first, second = [
            await asyncio.gather(*(store.spending.reserve(_bill(clock, 0.25)) for _ in range(10)), return_exceptions=True) for _ in range(2)
        ]
        begun = first.count(None)
        assert 4 <= begun <= 10, "those at the same moment may not see each other; where there is one writer, they do"
        assert [type(one) for one in second] == [BudgetReached] * 10
        assert await _gone(store, clock) == (0.0, begun * 0.25)

    @pytest.mark.parametrize(("scope", "name"), [(_ALL, EACH), (_TENANT, "default"), (_KEY, EACH)])
    async def test_a_call_larger_than_a_whole_budget_is_refused_for_good(
        self, store: Store, clock: FakeClock, scope: BudgetScope, name: str
    ) -> None:
        await _caps(store, scope, name, 1.0)
        await store.spending.reserve(_bill(clock, 0.5))
        with pytest.raises(CallTooDear) as refused:
            await store.spending.reserve(_bill(clock, 1.1))
        assert (refused.value.retryable, "1.1000 US dollars" in refused.value.message) == (False, True)
        lease = await runs(store)
        with pytest.raises(CallTooDear):
            await store.journal.intend(lease, intent(1, bill=_bill(clock, 1.1)))
        assert list(await store.journal.steps(lease.message.id)) == [], "nothing was written of it"
        assert await _gone(store, clock) == (0.0, 0.5)
        await store.spending.reserve(_bill(clock, 0.5))

    async def test_of_a_budget_of_nothing_all_wait_whatever_they_cost(self, store: Store, clock: FakeClock) -> None:
        await _caps(store, _ALL, EACH, 0.0)
        with pytest.raises(BudgetReached):
            await store.spending.reserve(_bill(clock, 3.0))

    async def test_what_costs_nothing_or_nobody_knows_what_is_not_stopped(self, store: Store, clock: FakeClock) -> None:
        await _caps(store, _ALL, EACH, 0.0)
        lease = await runs(store)
        await store.journal.intend(lease, intent(1, bill=_bill(clock)))
        await store.journal.record(lease, 1, b"1", usage=_used(None), bill=_bill(clock))
        assert await _gone(store, clock) == (0.0, 0.0)

    async def test_a_budget_is_raised_lifted_and_said_with_what_is_gone(self, store: Store, clock: FakeClock) -> None:
        await _caps(store, _ALL, EACH, 1.0)
        await _caps(store, _TENANT, EACH, 7.0)
        await store.spending.reserve(_bill(clock, 1.0))
        await _caps(store, _ALL, EACH, 2.0)
        await store.spending.reserve(_bill(clock, 0.5, tenant="other", key=""))
        assert list(await store.spending.budgets()) == [
            BudgetStatus(budget=Budget(scope=_ALL, name=EACH, daily_usd=2.0), spent_usd=1.5),
            BudgetStatus(budget=Budget(scope=_TENANT, name=EACH, daily_usd=7.0), spent_usd=1.0),
        ]
        await store.spending.set_budget(Budget(scope=_ALL, name=EACH, daily_usd=None), by=Actor("key_op"))
        await store.spending.reserve(_bill(clock, 5.0))
        [deed] = (await store.audit.list(DeedFilter())).deeds
        assert (deed.action, deed.target, deed.who) == ("budget.set", "installation *", "key_op")

    async def test_whoever_waits_for_money_goes_on_when_a_budget_is_raised(self, store: Store, clock: FakeClock) -> None:
        await _caps(store, _ALL, EACH, 1.0)
        await store.spending.reserve(_bill(clock, 1.0))
        broke = [
            await self._waits(store, clock, why=why, tenant=tenant) for why, tenant in (("budget-window", "a"), ("budget-window", "b"))
        ]
        await self._waits(store, clock, why="sleep", tenant="a")
        await _caps(store, _ALL, EACH, 0.5)
        assert await self._woken(store, clock) == set(), "it was lowered"
        await _caps(store, _ALL, EACH, 2.0)
        assert await self._woken(store, clock) == set(broke), "who sleeps until midnight sleeps on"

    async def test_a_tenants_own_budget_wakes_its_own_and_again_when_it_is_set_again(self, store: Store, clock: FakeClock) -> None:
        await _caps(store, _ALL, EACH, 1.0)
        await store.spending.reserve(_bill(clock, 1.0))
        await _caps(store, _TENANT, "a", 2.0)
        await self._waits(store, clock, tenant="b")
        for raised in (3.0, 3.0, None, None):
            mine = await self._waits(store, clock, tenant="a")
            await _caps(store, _TENANT, "a", raised)
            assert await self._woken(store, clock) == {mine}

    async def _waits(self, store: Store, clock: FakeClock, *, why: str = "budget-window", tenant: str = "a") -> int:
        lease = await runs(store, tenant=tenant)
        with pytest.raises(BudgetReached) as stopped:
            await store.journal.intend(lease, intent(1, bill=_bill(clock, 0.5)))
        await store.messages.park(lease, Wait(why=why, until=(stopped.value.retry_at or 0.0) + 0.7, error=stopped.value.facts()))
        return lease.message.id

    async def _woken(self, store: Store, clock: FakeClock) -> set[int]:
        clock.pass_by(seconds=1)
        await store.messages.tend()
        return {lease.message.id for lease in await take(store, await alive(store), 10)}

    async def test_a_stale_worker_holds_and_books_nothing(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        bill = _bill(clock, 0.5)
        await store.journal.intend(lease, intent(1, bill=bill))
        await dies(store, clock)
        await leased(store, lease.message.id)
        with pytest.raises(LeaseLost):
            await store.journal.record(lease, 1, b"1", usage=_used(0.2), bill=bill)
        with pytest.raises(LeaseLost):
            await store.journal.intend(lease, intent(2, bill=bill))
        assert await _gone(store, clock) == (0.0, 0.5)

    async def test_what_replay_saves_is_booked_too(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, tenant="acme")
        await store.journal.replayed(lease, _used(0.25))
        await store.journal.replayed(lease, _used(None))
        [entry] = await _today(store, clock)
        assert (entry.account.tenant, entry.saved_calls, entry.saved_usd, entry.usage.cost_usd) == ("acme", 2, 0.25, 0.0)
        assert (await store.messages.counters())["replayed_cost_nanousd"] == 250_000_000

    async def test_many_small_sums_make_an_exact_one(self, store: Store, clock: FakeClock) -> None:
        for _ in range(300):
            bill = _bill(clock, 0.1)
            await store.spending.reserve(bill)
            await store.spending.settle(bill, _used(0.000_000_1))
        await store.messages.tend()
        [entry] = await _today(store, clock)
        assert (entry.usage.cost_usd, entry.held_usd, entry.usage.calls) == (0.00003, 0.0, 300)

    async def test_the_ledger_is_read_by_days_and_tenant(self, store: Store, clock: FakeClock) -> None:
        first = day_of(clock.now())
        await store.spending.settle(_bill(clock, tenant="a"), _used(1.0))
        await store.spending.settle(_bill(clock, tenant="b", lane="fake/n"), _used(2.0))
        clock.pass_by(seconds=86_400)
        await store.spending.settle(_bill(clock, tenant="a"), _used(4.0))
        last = day_of(clock.now())
        assert [one.usage.cost_usd for one in await store.spending.entries(first, last)] == [1.0, 2.0, 4.0]
        assert [one.day for one in await store.spending.entries(first, last, tenant="a")] == [first, last]
        assert [one.account.lane for one in await store.spending.entries(first, first, tenant="b")] == ["fake/n"]

    async def test_the_ledger_is_added_up_by_lane(self, store: Store, clock: FakeClock) -> None:
        for tenant, lane, usd in (("a", "fake/n", 1.0), ("b", "fake/m", 2.0), ("c", "fake/n", None)):
            await store.spending.settle(_bill(clock, tenant=tenant, lane=lane), _used(usd, input_tokens=3))
        clock.pass_by(seconds=86_400)
        await store.spending.settle(_bill(clock, lane="fake/n"), _used(4.0))
        sums = [(one.account.lane, one.usage.calls, one.usage.cost_usd, one.usage.unpriced) for one in await store.spending.lanes()]
        assert sums == [("fake/m", 1, 2.0, 0), ("fake/n", 3, 5.0, 1)]

    async def test_what_a_lane_has_used_stays_when_its_days_are_forgotten(self, store: Store, clock: FakeClock) -> None:
        await store.spending.reserve(_bill(clock, 1.0, lane="fake/held"))
        bill = _bill(clock, 1.0)
        await store.spending.reserve(bill)
        await store.spending.settle(bill, _used(0.25, input_tokens=3, output_tokens=5, cached_tokens=2, reasoning_tokens=1))
        [before] = await store.spending.lanes()
        assert (before.usage.input_tokens, before.usage.output_tokens) == (3, 5)
        assert (before.usage.cached_tokens, before.usage.reasoning_tokens) == (2, 1)
        assert (before.account.lane, before.usage.calls, before.usage.cost_usd, before.held_usd) == ("fake/m", 1, 0.25, 0.0)
        await store.messages.tend()
        clock.pass_by(seconds=3 * 86_400)
        while (await store.retention.tidy(Keep(audit_s=86_400))).more:
            clock.pass_by(seconds=1)
        assert list(await store.spending.lanes()) == [before]

    async def test_a_lane_has_used_what_runs_have_used_and_saved(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        bill = _bill(clock, 1.0)
        await store.journal.intend(lease, intent(1, bill=bill))
        await store.journal.record(lease, 1, b"1", usage=_used(0.5, output_tokens=7), bill=bill)
        [lane] = await store.spending.lanes()
        assert (lane.account.lane, lane.usage.calls, lane.usage.output_tokens, lane.usage.cost_usd) == ("fake/m", 1, 7, 0.5)
        await store.messages.tend()
        assert list(await store.spending.lanes()) == [lane]
