"""What was spent, as JSON on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from perdure.messages.spending import BudgetStatus, Entry

__all__ = ["BudgetJson", "By", "SpentJson", "summed"]

By: TypeAlias = Literal["day", "lane", "agent", "tenant", "key"]
_NAMES: Mapping[str, Callable[[Entry], str]] = {
    "day": lambda entry: entry.day,
    "lane": lambda entry: entry.account.lane,
    "agent": lambda entry: entry.account.agent,
    "tenant": lambda entry: entry.account.tenant,
    "key": lambda entry: entry.account.key,
}


class SpentJson(msgspec.Struct, kw_only=True):
    """What was used under one name; the empty name is that of calls and savings that have none."""

    object: Literal["spent"] = "spent"
    name: str
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: float
    unpriced: int
    """Calls whose cost is not known: they are not in `cost_usd`, and not free."""
    held_usd: float
    """What calls under way, and those of unknown cost, were reckoned to cost."""
    saved_calls: int
    saved_usd: float
    """Recorded answers that were replayed instead of paid for."""


class BudgetJson(msgspec.Struct, kw_only=True):
    """A budget, and how much of it is gone today; of `*` what whoever has spent the most has spent."""

    object: Literal["budget"] = "budget"
    scope: str
    name: str
    daily_usd: float | None
    spent_usd: float
    unseen: bool = False
    """As answered to whoever sets it: a tenant of that name has neither a key nor spent anything today."""

    @classmethod
    def of(cls, status: BudgetStatus, *, unseen: bool = False) -> BudgetJson:
        """Write a budget.

        Args:
            status (BudgetStatus): As the store keeps it.
            unseen (bool): Nobody is known by its name.

        Returns:
            BudgetJson: For the wire.
        """
        budget = status.budget
        spent_usd = round(status.spent_usd, 9)
        return cls(scope=budget.scope.value, name=budget.name, daily_usd=budget.daily_usd, spent_usd=spent_usd, unseen=unseen)


def summed(entries: Iterable[Entry], by: By) -> list[SpentJson]:
    """Add up the ledger.

    Args:
        entries (Iterable[Entry]): Rows of it.
        by (By): What they are told apart by.

    Returns:
        list[SpentJson]: The most expensive first; days in their order.
    """
    sums: dict[str, SpentJson] = {}
    for entry in entries:
        name = _NAMES[by](entry)
        one = sums.setdefault(name, _nothing(name))
        used = entry.usage
        one.calls += used.calls
        one.unpriced += used.unpriced
        one.input_tokens += used.input_tokens or 0
        one.output_tokens += used.output_tokens or 0
        one.cached_tokens += used.cached_tokens or 0
        one.reasoning_tokens += used.reasoning_tokens or 0
        one.cost_usd = round(one.cost_usd + (used.cost_usd or 0.0), 9)
        one.held_usd = round(one.held_usd + entry.held_usd, 9)
        one.saved_calls += entry.saved_calls
        one.saved_usd = round(one.saved_usd + entry.saved_usd, 9)
    return sorted(sums.values(), key=lambda one: (0.0 if by == "day" else -one.cost_usd, one.name))


def _nothing(name: str) -> SpentJson:
    return SpentJson(
        name=name, calls=0, input_tokens=0, output_tokens=0, cached_tokens=0, reasoning_tokens=0, cost_usd=0.0, unpriced=0,
        held_usd=0.0, saved_calls=0, saved_usd=0.0,
    )  # fmt: skip
