"""What was used and what it cost; budgets, and how much of them is gone."""

from __future__ import annotations

import re
from datetime import date

from perdure.errors.base import InvalidInput, NotFound
from perdure.messages.spending import EACH, Budget, BudgetScope, day_of
from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.listings import Listing
from perdure.server.orders import SetBudget, UsageQuery
from perdure.server.spent import BudgetJson, SpentJson, summed

_PART = "Spending"
_LONGEST_DAYS = 400
_NAME = re.compile(r"\*|[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127}")

__all__ = ["DOORS"]


async def read_usage(call: Call) -> Answer:
    """Say what was used in a range of days, summed by whatever is asked for.

    Args:
        call (Call): With a `UsageQuery`.

    Returns:
        Answer: 200 with a row for each, the most expensive first; by day in their order.

    Raises:
        InvalidInput: The range of days is none.
    """
    query: UsageQuery = call.query
    until = query.until or day_of(call.core.clock.now())
    since = query.since or until
    if not 0 <= (_day("until", until) - _day("since", since)).days <= _LONGEST_DAYS:
        raise InvalidInput(f"from {since!r} until {until!r} is no range of at most {_LONGEST_DAYS} days")
    entries = await call.core.store.spending.entries(since, until, tenant=call.tenant)
    return json_answer(Listing(data=summed(entries, query.by)))


async def list_budgets(call: Call) -> Answer:
    """List the budgets, with what is spent of them today.

    Args:
        call (Call): From an operator.

    Returns:
        Answer: 200 with a list, by scope and name.
    """
    return json_answer(Listing(data=[BudgetJson.of(one) for one in await call.core.store.spending.budgets()]))


async def set_budget(call: Call) -> Answer:
    """Set a budget, in place of the one there was.

    Args:
        call (Call): For the scope and name in its path.

    Returns:
        Answer: 200 with the budget as it is now; a tenant that has neither a key nor spent anything today is said to be `unseen`.

    Raises:
        NotFound: There is no such key, or no such kind of budget.
    """
    ask: SetBudget = call.body
    scope, name = _scope(call.path["scope"]), _name(call.path["name"])
    keys = [] if name == EACH else await call.core.store.keys.list()
    if scope is BudgetScope.KEY and name not in {EACH, *(key.id for key in keys)}:
        raise NotFound(f"there is no key {name!r}", hint="Name it by its id, as `perdure keys list` shows it.")
    budget = Budget(scope=scope, name=name, daily_usd=ask.daily_usd)
    await call.core.store.spending.set_budget(budget, by=call.actor)
    standing = await call.core.store.spending.budgets()
    status = next(one for one in standing if (one.budget.scope, one.budget.name) == (scope, name))
    unseen = scope is BudgetScope.TENANT and not status.spent_usd and name not in {EACH, "default", *(key.tenant for key in keys)}
    return json_answer(BudgetJson.of(status, unseen=unseen))


def _scope(said: str) -> BudgetScope:
    try:
        return BudgetScope(said)
    except ValueError:
        known = ", ".join(BudgetScope)
        raise NotFound(f"there are no budgets of {said[:60]!r}", hint=f"There are: {known}; {EACH!r} is each without one.") from None


def _name(said: str) -> str:
    if not _NAME.fullmatch(said):
        raise NotFound(f"nothing can be called {said[:60]!r}")
    return said


def _day(name: str, said: str) -> date:
    try:
        return date.fromisoformat(said)
    except ValueError:
        raise InvalidInput(f"{name}: {said[:40]!r} is no day", hint="Write it as 2026-11-30.") from None


DOORS = (
    Door(
        "GET", "/api/v1/usage", read_usage, "read_usage",
        "Say what was used and what it cost, by day, lane, agent, tenant or key.", _PART, "usage:read",
        query=UsageQuery, answers={200: Listing[SpentJson]},
    ),
    Door(
        "GET", "/api/v1/budgets", list_budgets, "list_budgets", "List budgets, and what is spent of them today.", _PART, "budgets:read",
        operator=True, answers={200: Listing[BudgetJson]},
    ),
    Door(
        "PUT", "/api/v1/budgets/{scope}/{name}", set_budget, "set_budget",
        "Let the `installation`, a `tenant` or a `key` spend so much a day; `*` is each without one of its own.", _PART, "budgets:write",
        operator=True, bodies=(SetBudget,), answers={200: BudgetJson}, refusals=(404,),
    ),
)  # fmt: skip
