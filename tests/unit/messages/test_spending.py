from __future__ import annotations

import pytest

from perdure.errors.base import BudgetReached, InvalidInput
from perdure.messages.spending import EACH, Account, Bill, Budget, BudgetScope, brake, day_of, from_nano, to_nano

BILL = Bill(day="2026-12-31", account=Account("acme", "", "mail", "fake/m"), held_nanousd=10)


@pytest.mark.parametrize(
    ("scope", "name", "usd"),
    [
        (BudgetScope.INSTALLATION, "x", 1.0),
        (BudgetScope.TENANT, "", 1.0),
        (BudgetScope.KEY, "k", -1.0),
        (BudgetScope.KEY, "k", float("nan")),
    ],
)
def test_a_budget_that_makes_no_sense_is_none(scope: BudgetScope, name: str, usd: float) -> None:
    with pytest.raises(InvalidInput):
        Budget(scope=scope, name=name, daily_usd=usd)


def test_the_next_window_begins_with_the_next_day_in_utc() -> None:
    with pytest.raises(BudgetReached) as stopped:
        brake(BILL, {("installation", EACH): 10}, lambda scope, name: 1)
    assert stopped.value.retry_at is not None
    assert (day_of(stopped.value.retry_at), stopped.value.retry_at % 86_400) == ("2027-01-01", 0)


def test_a_tenant_is_told_its_own_sums_and_not_those_of_all() -> None:
    with pytest.raises(BudgetReached, match=r"of the 5 US dollars a day of tenant 'acme', 5\.0000 are spent on"):
        brake(BILL, {("tenant", "acme"): to_nano(5)}, lambda scope, name: to_nano(5) - 5)
    with pytest.raises(BudgetReached, match="the budget of the installation is spent on 2026-12-31") as stopped:
        brake(BILL, {("installation", EACH): to_nano(77)}, lambda scope, name: to_nano(77))
    assert "77" not in str(stopped.value)


def test_an_own_budget_goes_before_that_of_each_and_none_lifts_it() -> None:
    def spent(scope: BudgetScope, name: str) -> int:
        return 95

    with pytest.raises(BudgetReached):
        brake(BILL, {("tenant", EACH): 100}, spent)
    brake(BILL, {("tenant", EACH): 100, ("tenant", "acme"): 105}, spent)
    brake(BILL, {("tenant", EACH): 100, ("tenant", "acme"): None}, spent)


def test_a_message_without_a_key_is_under_no_budget_of_keys() -> None:
    brake(BILL, {("key", EACH): 0}, lambda scope, name: 10**12)


def test_what_costs_nothing_asks_nobody() -> None:
    def never(scope: BudgetScope, name: str) -> int:
        raise AssertionError

    brake(Bill(day="2026-12-31", account=BILL.account), {("installation", EACH): 0}, never)


def test_money_is_counted_in_whole_billionths_and_never_rounded_down() -> None:
    assert [to_nano(usd) for usd in (None, 0.0, 0.1, 1e-10, 12.5)] == [0, 0, 100_000_000, 1, 12_500_000_000]
    assert from_nano(to_nano(0.30000000000000004)) in (0.3, 0.300000001)
