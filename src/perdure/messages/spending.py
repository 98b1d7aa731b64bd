"""What is spent, on whose account, and the brake on it.

Theory of operation: a *ledger* has one row for each day (in UTC), tenant, key, agent and lane. Before a call of known price
is made, what it may cost is *held* in its row, in the transaction that commits the intent; what it did cost takes the place
of that with the result. A call whose cost is never known - cut off, not counted, its process dead - leaves what was held:
so unknown is never zero for the brake, and nothing has to be looked for and given back.

A *budget* is so much a day, of the installation, a tenant or a key; the name `*` is that of each tenant or key without one
of its own. Where it is reached the call waits for the next day; one that could cost more than the whole of it is refused for
good, since no day would do. A budget of 0 lets nothing through and refuses nothing: all wait. Calls of other workers that were let
in meanwhile are all it can be overrun by. Money is counted in whole billionths of a US dollar, since sums of fractions drift.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec

from perdure.clock import Moment
from perdure.errors.base import BudgetReached, CallTooDear, InvalidInput
from perdure.messages.message import Message
from perdure.messages.terms import put_by
from perdure.resources.usage import Usage
from perdure.security.audit import Actor

__all__ = [
    "EACH",
    "WOKEN_FOR_MONEY",
    "Account",
    "Bill",
    "Budget",
    "BudgetScope",
    "BudgetStatus",
    "Entry",
    "Spending",
    "account_of",
    "brake",
    "day_of",
    "from_nano",
    "lets_more",
    "most_spent",
    "next_day",
    "tenant_of",
    "to_nano",
]

_NANO = 1_000_000_000
_MOST_USD = 1_000_000_000.0
EACH = "*"
_SPREAD_S = 60.0
"""Those that wait for midnight are due within so long after it, and nobody else who waits for money."""
WOKEN_FOR_MONEY = 1000
"""So many of those that wait for money are woken when a budget is raised."""


class BudgetScope(StrEnum):
    """Whose spending a budget bounds."""

    INSTALLATION = "installation"
    TENANT = "tenant"
    KEY = "key"


class Account(msgspec.Struct, frozen=True):
    """On whose account a call is made."""

    tenant: str
    key: str
    """The id of the key that put the message; the empty string for none."""
    agent: str
    lane: str


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What one call is booked under, and what was held for it."""

    day: str
    account: Account
    held_nanousd: int = 0


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """So much a day; None is as much as it takes."""

    scope: BudgetScope
    name: str
    """Of a tenant, the id of a key, or `*` for each that has none of its own; for the installation `*`."""
    daily_usd: float | None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            InvalidInput: No name, a sum that is none, or a name of the installation.
        """
        if self.daily_usd is not None and not 0 <= self.daily_usd <= _MOST_USD:
            raise InvalidInput(f"a budget is 0 US dollars a day or more, not {self.daily_usd!r}")
        if not 1 <= len(self.name) <= 200 or (self.scope is BudgetScope.INSTALLATION and self.name != EACH):
            raise InvalidInput(f"a budget of {self.scope.value} has no name {self.name[:60]!r}", hint="The installation's is called `*`.")


class BudgetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A budget, and how much of it is gone today; for `*` of tenants and keys that of whoever has spent the most."""

    budget: Budget
    spent_usd: float


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What one account has spent on one day."""

    day: str
    account: Account
    usage: Usage
    held_usd: float = 0.0
    """Held for calls under way, and for those whose cost was never known."""
    saved_calls: int = 0
    saved_usd: float = 0.0
    """Recorded answers that were replayed instead of paid for."""


class Spending(Protocol):
    """Keeps the ledger and the budgets. Proved by `perdure.testing.SpendingKit`."""

    async def reserve(self, bill: Bill) -> None:
        """Hold what a call may cost that is no step of a run.

        Args:
            bill (Bill): With what to hold.

        Raises:
            BudgetReached: Nothing is held; it says from when there is more.
            CallTooDear: Nothing is held; it is more than one of the budgets.
        """
        ...

    async def settle(self, bill: Bill, usage: Usage | None) -> None:
        """Book what such a call has used.

        Args:
            bill (Bill): As it was reserved.
            usage (Usage | None): None gives back what was held: the call has cost nothing.
        """
        ...

    async def entries(self, since: str, until: str, *, tenant: str | None = None) -> Sequence[Entry]:
        """Read the ledger.

        Args:
            since (str): The first day, `2026-11-30`.
            until (str): The last day.
            tenant (str | None): Only this one's.

        Returns:
            Sequence[Entry]: By day, tenant, key, agent and lane.
        """
        ...

    async def lanes(self) -> Sequence[Entry]:
        """Say what each lane has used since the store began, for metrics. It is kept, not counted: also of days that are forgotten.

        Returns:
            Sequence[Entry]: One for each lane with a call, by its name, of no day and nobody's account, without what is held; the
                empty lane is what replay saved.
        """
        ...

    async def budgets(self) -> Sequence[BudgetStatus]:
        """List the budgets, with what is spent of them today.

        Returns:
            Sequence[BudgetStatus]: By scope and name; also those that are set to none.
        """
        ...

    async def set_budget(self, budget: Budget, *, by: Actor | None = None) -> None:
        """Set a budget in place of the one of its scope and name.

        Unless it is lowered, messages that wait for the next day's money, a thousand at most, are due within a second: whoever
        still finds none waits again. Of a tenant's own budget these are the tenant's.

        Args:
            budget (Budget): From now on.
            by (Actor | None): Who does it, for the audit log.
        """
        ...


def day_of(now: Moment) -> str:
    """Say which day it is in UTC.

    Args:
        now (Moment): The store's time.

    Returns:
        str: `2026-11-30`.
    """
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")


def account_of(message: Message, lane: str) -> Account:
    """Say on whose account the calls of a message's run are.

    Args:
        message (Message): Whose.
        lane (str): `provider/model`.

    Returns:
        Account: Its tenant, key and agent.
    """
    return Account(message.tenant, put_by(message.metadata) or "", message.agent, lane)


def to_nano(usd: float | None) -> int:
    """Write a sum as it is counted.

    Args:
        usd (float | None): In US dollars; None is nothing known.

    Returns:
        int: In billionths, rounded up.
    """
    return 0 if usd is None else -int(-usd * _NANO // 1)


def from_nano(nanousd: float) -> float:
    """Write a sum as people read it.

    Args:
        nanousd (float): In billionths.

    Returns:
        float: In US dollars.
    """
    return int(nanousd) / _NANO


def brake(bill: Bill, budgets: Mapping[tuple[str, str], int | None], spent: Callable[[BudgetScope, str], int]) -> None:
    """Stop a call for which there is no money left, or never is.

    Args:
        bill (Bill): Of the call.
        budgets (Mapping[tuple[str, str], int | None]): Scope and name to so much a day.
        spent (Callable[[BudgetScope, str], int]): Looks up what is spent on that day, by whom.

    Raises:
        BudgetReached: It has to wait for the next day.
        CallTooDear: It may cost more than one of the budgets is in a whole day.
    """
    if not bill.held_nanousd:
        return
    over = list(_over(bill.account, budgets))
    for scope, whose, daily in over:
        if 0 < daily < bill.held_nanousd:
            raise _too_dear(scope, whose, daily, bill)
    for scope, whose, daily in over:
        gone = spent(scope, whose)
        if gone + bill.held_nanousd > daily:
            raise BudgetReached(
                f"{_gone(scope, whose, daily, gone)} on {bill.day}, and the call may cost {from_nano(bill.held_nanousd):.4f} US dollars",
                retry_at=_day_after(bill.day),
                hint="There is more from the next day (UTC) on: messages wait for it. To go on now, raise it: `perdure budgets set`.",
            )


def _too_dear(scope: BudgetScope, whose: str, daily: int, bill: Bill) -> CallTooDear:
    budget = "the installation" if scope is BudgetScope.INSTALLATION else f"{scope.value} {whose!r}, {from_nano(daily):g} US dollars a day"
    return CallTooDear(
        f"the call may cost {from_nano(bill.held_nanousd):.4f} US dollars, more than the whole budget of {budget}",
        hint="Let the request limit its answer (`max_tokens`), or raise the budget: `perdure budgets set`.",
    )


def _gone(scope: BudgetScope, whose: str, daily: int, gone: int) -> str:
    if scope is BudgetScope.INSTALLATION:  # any tenant may read this: what all together spend is not for them
        return "the budget of the installation is spent"
    return f"of the {from_nano(daily):g} US dollars a day of {scope.value} {whose!r}, {from_nano(gone):.4f} are spent"


def lets_more(budget: Budget, before: float | None) -> bool:
    """Tell whether there may be money now for who waits for it.

    Args:
        budget (Budget): The new one.
        before (float | None): What was in its place; None for as much as it takes.

    Returns:
        bool: True if it is raised or lifted. Also if it is set again, so that this wakes those that were beyond a thousand.
    """
    return budget.daily_usd is None or (before is not None and budget.daily_usd >= before)


def tenant_of(budget: Budget) -> str:
    """Say whose messages a budget bounds alone.

    Args:
        budget (Budget): Any.

    Returns:
        str: The tenant; empty where they may be anybody's.
    """
    return budget.name if budget.scope is BudgetScope.TENANT and budget.name != EACH else ""


def next_day(now: Moment) -> tuple[Moment, Moment]:
    """Say between which moments messages are due that wait for the next day's money.

    Args:
        now (Moment): The store's time.

    Returns:
        tuple[Moment, Moment]: Midnight, and a little after it, since they are spread.
    """
    midnight = _day_after(day_of(now))
    return midnight, midnight + _SPREAD_S


def most_spent(entries: Iterable[Entry], scope: BudgetScope, name: str) -> float:
    """Say how much of a budget is gone.

    Args:
        entries (Iterable[Entry]): Of one day.
        scope (BudgetScope): Whose.
        name (str): Of whom; `*` of a tenant or a key is whoever has spent the most.

    Returns:
        float: In US dollars, with what is held.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    for entry in entries:
        whose = {BudgetScope.TENANT: entry.account.tenant, BudgetScope.KEY: entry.account.key}.get(scope, EACH)
        if whose:
            sums[whose] += (entry.usage.cost_usd or 0.0) + entry.held_usd
    return max(sums.values(), default=0.0) if name == EACH else sums.get(name, 0.0)


def _over(account: Account, budgets: Mapping[tuple[str, str], int | None]) -> Iterator[tuple[BudgetScope, str, int]]:
    whose = ((BudgetScope.INSTALLATION, EACH), (BudgetScope.TENANT, account.tenant), (BudgetScope.KEY, account.key))
    for scope, name in whose:
        daily = budgets.get((scope, name), budgets.get((scope, EACH)))
        if name and daily is not None:
            yield scope, name, daily


def _day_after(day: str) -> Moment:
    return (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
