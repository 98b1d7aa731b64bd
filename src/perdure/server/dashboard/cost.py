"""`/cost`: what was spent, by day, lane, agent, tenant and key; what replay has saved; and how far budgets are used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from perdure.messages.spending import BudgetStatus, Entry, day_of
from perdure.server.answer import Answer
from perdure.server.dashboard.visit import Visit
from perdure.server.spent import By, SpentJson, summed

__all__ = ["cost"]

_SPANS = {"1": "Today", "7": "7 days", "30": "30 days", "90": "90 days"}
_USUAL = "30"
_MOST_ROWS = 25
_HIGH = 100.0


class _Table(msgspec.Struct, frozen=True):
    """What was spent under the names of one kind, the dearest first."""

    title: str
    by: By
    rows: Sequence[SpentJson]
    left: int
    """Names for which there was no room."""


class _Bar(msgspec.Struct, frozen=True):
    """One day, as the picture has it."""

    day: str
    spent: SpentJson | None
    high: float
    """Of `_HIGH`."""


class _Gone(msgspec.Struct, frozen=True):
    """A budget, and how much of it is gone today."""

    status: BudgetStatus
    share: float | None
    """None where there is no bound."""


async def cost(visit: Visit) -> Answer:
    """Show the page.

    Args:
        visit (Visit): Who looks; a tenant sees its own.

    Returns:
        Answer: The whole page.
    """
    said = visit.query.get("days", _USUAL)
    span = said if said in _SPANS else _USUAL
    until = day_of(visit.core.clock.now())
    days = _days_until(until, int(span))
    entries = await visit.core.store.spending.entries(days[0], until, tenant=visit.tenant)
    budgets = await visit.core.store.spending.budgets() if visit.operator and visit.may("budgets:read") else []
    return visit.renderer.page(
        "cost",
        visit=visit,
        days=days,
        total=_total(entries),
        bars=_bars(days, entries),
        tables=_tables(entries, operator=visit.operator),
        budgets=[_Gone(one, _share(one)) for one in budgets],
        spans=[(f"/cost?days={days}", name, days == span) for days, name in _SPANS.items()],
    )


def _days_until(until: str, count: int) -> list[str]:
    last = date.fromisoformat(until)
    return [(last - timedelta(days=back)).isoformat() for back in range(count - 1, -1, -1)]


def _total(entries: Sequence[Entry]) -> SpentJson:
    """Of all days; an empty ledger has a total too."""
    nothing = SpentJson(
        name="", calls=0, input_tokens=0, output_tokens=0, cached_tokens=0, reasoning_tokens=0, cost_usd=0.0, unpriced=0, held_usd=0.0,
        saved_calls=0, saved_usd=0.0,
    )  # fmt: skip
    for one in summed(entries, "day"):
        for name in msgspec.structs.asdict(nothing).keys() - {"name", "object"}:
            setattr(nothing, name, getattr(nothing, name) + getattr(one, name))
    return nothing


def _bars(days: Sequence[str], entries: Sequence[Entry]) -> list[_Bar]:
    by_day = {one.name: one for one in summed(entries, "day")}
    most = max((one.cost_usd for one in by_day.values()), default=0.0) or 1.0
    return [_Bar(day, found := by_day.get(day), 0.0 if found is None else _HIGH * found.cost_usd / most) for day in days]


def _tables(entries: Sequence[Entry], *, operator: bool) -> list[_Table]:
    wanted: list[tuple[str, By]] = [("Lanes", "lane"), ("Agents", "agent"), ("Keys", "key")]
    if operator:
        wanted.insert(2, ("Tenants", "tenant"))
    return [_table(title, by, [one for one in summed(entries, by) if one.calls or by != "lane"]) for title, by in wanted]


def _table(title: str, by: By, rows: list[SpentJson]) -> _Table:
    return _Table(title, by, rows[:_MOST_ROWS], max(0, len(rows) - _MOST_ROWS))


def _share(status: BudgetStatus) -> float | None:
    daily = status.budget.daily_usd
    return None if daily is None else 1.0 if not daily else status.spent_usd / daily
