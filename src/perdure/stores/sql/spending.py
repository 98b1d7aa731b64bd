"""The ledger and the budgets, in the store. What calls hold and cost is written with their steps."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from perdure.messages.message import Lease
from perdure.messages.routes import WOKEN_AFTER_S
from perdure.messages.spending import (
    EACH,
    WOKEN_FOR_MONEY,
    Account,
    Bill,
    Budget,
    BudgetScope,
    BudgetStatus,
    Entry,
    Spending,
    account_of,
    brake,
    day_of,
    from_nano,
    lets_more,
    next_day,
    tenant_of,
    to_nano,
)
from perdure.resources.usage import Usage
from perdure.security.audit import Actor
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqlSpending", "booked", "charge", "hold", "save"]

_ADD, _LIST, _BUDGETS, _SET = statement("ledger_add"), statement("ledger_list"), statement("budget_list"), statement("budget_set")
_LIST_OF, _LANES = statement("ledger_list_of"), statement("ledger_lanes")
_WAKE = statement("later_for_money")
_MOST_OF_TENANTS, _MOST_OF_KEYS = statement("ledger_most_of_tenants"), statement("ledger_most_of_keys")
_OF_ALL, _OF_TENANT, _OF_KEY = statement("ledger_of_all"), statement("ledger_of_tenant"), statement("ledger_of_key")


def hold(tx: Transaction, bill: Bill | None) -> None:
    """Hold what a call may cost, if there is so much left.

    Args:
        tx (Transaction): What is being committed.
        bill (Bill | None): Of the call; None for one that is not booked.

    Raises:
        BudgetReached: There is not.
        CallTooDear: There never is.
    """
    if bill is None or not bill.held_nanousd:
        return
    brake(bill, _daily(tx.run), lambda scope, name: _spent(tx.run, bill.day, scope, name))
    _book(tx, bill.day, bill.account, held=bill.held_nanousd)


def charge(tx: Transaction, bill: Bill | None, usage: Usage | None) -> None:
    """Book what a call has used, in place of what was held for it.

    Args:
        tx (Transaction): What is being committed.
        bill (Bill | None): Of the call; None for one that is not booked.
        usage (Usage | None): None gives back what was held.
    """
    if bill is not None:
        tx.run(_ADD, booked(bill, usage))


def save(tx: Transaction, lease: Lease, saved: Usage) -> None:
    """Book what was replayed instead of paid for.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): Of the run.
        saved (Usage): What that had used.
    """
    if saved.cost_usd is not None or saved.unpriced:
        _book(tx, day_of(tx.now), account_of(lease.message, ""), saved_calls=saved.calls, saved=to_nano(saved.cost_usd))


def booked(bill: Bill, usage: Usage | None) -> tuple[Any, ...]:
    """Write what a call has used as a row of the ledger.

    Args:
        bill (Bill): Of the call.
        usage (Usage | None): What it used.

    Returns:
        tuple[Any, ...]: What to add to the row of its day and account. Of a call whose cost is not known, what was held stays.
    """
    used = usage or Usage()
    held = 0 if used.unpriced else -bill.held_nanousd
    tokens = (used.input_tokens or 0, used.output_tokens or 0, used.cached_tokens or 0, used.reasoning_tokens or 0)
    return (*_whose(bill.day, bill.account), used.calls, used.unpriced, *tokens, to_nano(used.cost_usd), held, 0, 0)


class SqlSpending(Spending):
    """Keeps the ledger and the budgets.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def reserve(self, bill: Bill) -> None:
        """Hold what a call may cost that is no step of a run."""
        await self._engine.write(hold, bill)

    async def settle(self, bill: Bill, usage: Usage | None) -> None:
        """Book what such a call has used."""
        await self._engine.write(charge, bill, usage)

    async def entries(self, since: str, until: str, *, tenant: str | None = None) -> Sequence[Entry]:
        """Read the ledger."""
        return await self._engine.read(_entries, since, until, tenant)

    async def lanes(self) -> Sequence[Entry]:
        """Say what each lane has used since the store began, for metrics."""
        return await self._engine.read(_lanes)

    async def budgets(self) -> Sequence[BudgetStatus]:
        """List the budgets, with what is spent of them today."""
        return await self._engine.read(_statuses, day_of(self._engine.clock.now()))

    async def set_budget(self, budget: Budget, *, by: Actor | None = None) -> None:
        """Set a budget in place of the one of its scope and name."""
        await self._engine.write(_set_budget, budget, by)


def _book(tx: Transaction, day: str, account: Account, *, held: int = 0, saved_calls: int = 0, saved: int = 0) -> None:
    tx.run(_ADD, (*_whose(day, account), 0, 0, 0, 0, 0, 0, 0, held, saved_calls, saved))


def _whose(day: str, account: Account) -> tuple[str, ...]:
    return (day, account.tenant, account.key, account.agent, account.lane)


def _daily(run: Run) -> dict[tuple[str, str], int | None]:
    return {(scope, name): daily for scope, name, daily in run(_BUDGETS)}


def _spent(run: Run, day: str, scope: BudgetScope, name: str) -> int:
    if scope is BudgetScope.INSTALLATION:
        return int(run(_OF_ALL, (day,)).get)
    return int(run(_OF_TENANT if scope is BudgetScope.TENANT else _OF_KEY, (day, name)).get)


def _entries(run: Run, since: str, until: str, tenant: str | None) -> builtins.list[Entry]:
    rows = run(_LIST, (since, until)) if tenant is None else run(_LIST_OF, (since, until, tenant))
    return [_entry(row) for row in rows.fetchall()]


def _lanes(run: Run) -> builtins.list[Entry]:
    return [_entry(row) for row in run(_LANES).fetchall()]


def _entry(row: tuple[Any, ...]) -> Entry:
    calls, unpriced, asked, said, cached, thought, cost, held, saved_calls, saved = (int(one) for one in row[5:])
    usage = Usage(
        calls=calls, input_tokens=asked, output_tokens=said, cached_tokens=cached, reasoning_tokens=thought,
        cost_usd=from_nano(cost), unpriced=unpriced,
    )  # fmt: skip
    account = Account(*row[1:5])
    return Entry(day=row[0], account=account, usage=usage, held_usd=from_nano(held), saved_calls=saved_calls, saved_usd=from_nano(saved))


def _statuses(run: Run, day: str) -> builtins.list[BudgetStatus]:
    return [
        BudgetStatus(budget=_budget(scope, name, daily), spent_usd=from_nano(_gone(run, day, BudgetScope(scope), name)))
        for scope, name, daily in run(_BUDGETS).fetchall()
    ]


def _gone(run: Run, day: str, scope: BudgetScope, name: str) -> int:
    """Of `*` what whoever has spent the most has spent."""
    if name == EACH and scope is not BudgetScope.INSTALLATION:
        return int(run(_MOST_OF_TENANTS if scope is BudgetScope.TENANT else _MOST_OF_KEYS, (day,)).get)
    return _spent(run, day, scope, name)


def _budget(scope: str, name: str, daily: int | None) -> Budget:
    return Budget(scope=BudgetScope(scope), name=name, daily_usd=None if daily is None else from_nano(daily))


def _set_budget(tx: Transaction, budget: Budget, by: Actor | None) -> None:
    standing = _daily(tx.run)
    before = standing.get((budget.scope, budget.name), standing.get((budget.scope, EACH)))
    tx.run(_SET, (budget.scope, budget.name, None if budget.daily_usd is None else to_nano(budget.daily_usd)))
    tx.audit(by, "budget.set", f"{budget.scope.value} {budget.name}", daily_usd=budget.daily_usd)
    if lets_more(budget, None if before is None else from_nano(before)):
        tx.run(_WAKE, (tx.now + WOKEN_AFTER_S, *next_day(tx.now), tenant_of(budget), WOKEN_FOR_MONEY))
