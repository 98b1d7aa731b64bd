"""The ledger and the budgets, in memory."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Category
from perdure.messages.message import Lease, State
from perdure.messages.routes import WOKEN_AFTER_S
from perdure.messages.spending import (
    EACH,
    WOKEN_FOR_MONEY,
    Account,
    Bill,
    Budget,
    BudgetStatus,
    Entry,
    Spending,
    account_of,
    brake,
    day_of,
    from_nano,
    lets_more,
    most_spent,
    next_day,
    tenant_of,
    to_nano,
)
from perdure.resources.usage import Usage
from perdure.security.audit import Actor
from perdure.stores.inmemory.contents import Contents

__all__ = ["InMemorySpending", "charge", "check", "hold", "save"]

_NOTHING = Usage(input_tokens=0, output_tokens=0, cached_tokens=0, reasoning_tokens=0, cost_usd=0.0)
_UNCOUNTED = Usage()


def check(contents: Contents, bill: Bill | None) -> None:
    """Stop a call for which there is no money left.

    Args:
        contents (Contents): What the store keeps.
        bill (Bill | None): Of the call.
    """
    if bill is not None:
        budgets = {whose: None if one.daily_usd is None else to_nano(one.daily_usd) for whose, one in contents.budgets.items()}
        today = _of_days(contents, bill.day, bill.day)
        brake(bill, budgets, lambda scope, name: to_nano(most_spent(today, scope, name)))


def hold(contents: Contents, bill: Bill | None) -> None:
    """Hold what a call may cost.

    Args:
        contents (Contents): What the store keeps.
        bill (Bill | None): Of the call.
    """
    if bill is not None and bill.held_nanousd:
        _book(contents, bill.day, bill.account, held_usd=from_nano(bill.held_nanousd))


def charge(contents: Contents, bill: Bill | None, usage: Usage | None) -> None:
    """Book what a call has used, in place of what was held for it.

    Args:
        contents (Contents): What the store keeps.
        bill (Bill | None): Of the call.
        usage (Usage | None): None gives back what was held.
    """
    if bill is not None:
        used = usage or Usage()
        held_usd = 0.0 if used.unpriced else -from_nano(bill.held_nanousd)
        counted = Usage(
            calls=used.calls, input_tokens=used.input_tokens, output_tokens=used.output_tokens, cached_tokens=used.cached_tokens,
            reasoning_tokens=used.reasoning_tokens, cost_usd=from_nano(to_nano(used.cost_usd)), unpriced=used.unpriced,
        )  # fmt: skip
        _book(contents, bill.day, bill.account, usage=counted, held_usd=held_usd)


def save(contents: Contents, lease: Lease, saved: Usage, now: Moment) -> None:
    """Book what was replayed instead of paid for.

    Args:
        contents (Contents): What the store keeps.
        lease (Lease): Of the run.
        saved (Usage): What that had used.
        now (Moment): The store's time.
    """
    if saved.cost_usd is not None or saved.unpriced:
        account = account_of(lease.message, "")
        _book(contents, day_of(now), account, saved_calls=saved.calls, saved_usd=from_nano(to_nano(saved.cost_usd)))


class InMemorySpending(Spending):
    """Keeps the ledger and the budgets.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def reserve(self, bill: Bill) -> None:
        """Hold what a call may cost that is no step of a run."""
        with self._contents.open():
            check(self._contents, bill)
            hold(self._contents, bill)

    async def settle(self, bill: Bill, usage: Usage | None) -> None:
        """Book what such a call has used."""
        with self._contents.open():
            charge(self._contents, bill, usage)

    async def entries(self, since: str, until: str, *, tenant: str | None = None) -> Sequence[Entry]:
        """Read the ledger."""
        with self._contents.open():
            return [one for one in _of_days(self._contents, since, until) if tenant in (None, one.account.tenant)]

    async def lanes(self) -> Sequence[Entry]:
        """Say what each lane has used since the store began, for metrics."""
        with self._contents.open():
            sums: dict[str, Entry] = {}
            for one in self._contents.ledger.values():
                lane = one.account.lane
                before = sums.get(lane) or Entry(day="", account=Account("", "", "", lane), usage=_NOTHING)
                sums[lane] = _plus(before, one.usage, 0.0, one.saved_calls, one.saved_usd)
            return [sums[lane] for lane in sorted(sums) if sums[lane].usage.calls or sums[lane].saved_calls]

    async def budgets(self) -> Sequence[BudgetStatus]:
        """List the budgets, with what is spent of them today."""
        with self._contents.open() as now:
            today = _of_days(self._contents, day_of(now), day_of(now))
            kept = sorted(self._contents.budgets.items())
            return [BudgetStatus(budget=one, spent_usd=most_spent(today, one.scope, one.name)) for _, one in kept]

    async def set_budget(self, budget: Budget, *, by: Actor | None = None) -> None:
        """Set a budget in place of the one of its scope and name."""
        with self._contents.open() as now:
            budgets = self._contents.budgets
            before = budgets.get((budget.scope, budget.name)) or budgets.get((budget.scope, EACH))
            budgets[budget.scope, budget.name] = budget
            if lets_more(budget, None if before is None else before.daily_usd):
                _wake(self._contents, tenant_of(budget), now)
            self._contents.note_deed(by, "budget.set", f"{budget.scope.value} {budget.name}", daily_usd=budget.daily_usd)


def _wake(contents: Contents, tenant: str, now: Moment) -> None:
    since, until = next_day(now)
    woken = 0
    for row in contents.rows.values():
        wait = row.wait if row.state is State.LATER and tenant in ("", row.message.tenant) else None
        if wait is not None and wait.why == Category.BUDGET and since <= (wait.until or 0.0) <= until and woken < WOKEN_FOR_MONEY:
            row.wait = msgspec.structs.replace(wait, until=now + WOKEN_AFTER_S)
            woken += 1


def _book(
    contents: Contents,
    day: str,
    account: Account,
    *,
    usage: Usage = _UNCOUNTED,
    held_usd: float = 0.0,
    saved_calls: int = 0,
    saved_usd: float = 0.0,
) -> None:
    before = contents.ledger.get((day, account)) or Entry(day=day, account=account, usage=_NOTHING)
    contents.ledger[day, account] = _plus(before, usage, held_usd, saved_calls, saved_usd)


def _plus(before: Entry, usage: Usage, held_usd: float, saved_calls: int, saved_usd: float) -> Entry:
    total = before.usage + usage
    return msgspec.structs.replace(
        before,
        usage=msgspec.structs.replace(total, cost_usd=_exact(total.cost_usd or 0.0)),
        held_usd=_exact(before.held_usd + held_usd),
        saved_calls=before.saved_calls + saved_calls,
        saved_usd=_exact(before.saved_usd + saved_usd),
    )


def _exact(usd: float) -> float:
    return round(usd, 9)


def _of_days(contents: Contents, since: str, until: str) -> builtins.list[Entry]:
    found = [one for one in contents.ledger.values() if since <= one.day <= until]
    return sorted(found, key=lambda one: (one.day, *msgspec.structs.astuple(one.account)))
