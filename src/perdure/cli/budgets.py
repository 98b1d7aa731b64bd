"""`perdure budgets`: how much may be spent in a day."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.options import AsJson, Url, examples, new_app
from perdure.cli.talk import talk
from perdure.cli.words import clean, print_json, say, table
from perdure.client.answers import BudgetJson
from perdure.messages.spending import EACH, BudgetScope

app: typer.Typer = new_app("How much may be spent in a day (UTC): list, set.")


@app.command("list", epilog=examples("perdure budgets list --json"))
def list_budgets(*, url: Url = None, as_json: AsJson = False) -> None:
    """List budgets, and how much of each is spent today."""
    budgets = talk(lambda client: client.budgets(), url=url)
    if as_json:
        print_json(budgets)
        return
    rows = ((one["scope"], one["name"], _sum(one), f"${one['spent_usd']:.4f}") for one in budgets)
    table(("OF", "NAME", "A DAY", "SPENT TODAY"), rows)


@app.command("set", epilog=examples("perdure budgets set installation 200", "perdure budgets set tenant none --name acme"))
def set_budget(
    scope: Annotated[BudgetScope, typer.Argument(metavar="installation|tenant|key", help="Of what kind.")],
    daily: Annotated[str, typer.Argument(metavar="USD", help="So many US dollars a day, or `none`.")],
    *,
    name: Annotated[str, typer.Option(help="A tenant, or the id of a key; `*` is each without one of its own.")] = EACH,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let only so much be spent in a day; what is beyond waits."""
    daily_usd = _read(daily)
    budget = talk(lambda client: client.set_budget(scope.value, name, daily_usd), url=url)
    if as_json:
        print_json(budget)
    else:
        say(f"{scope.value} {clean(name)}: {_sum(budget)} a day; ${budget['spent_usd']:.4f} today")
    if budget["unseen"]:
        say(f"nobody is known as the tenant {clean(name)}: it has no key, and has spent nothing today")


def _read(daily: str) -> float | None:
    try:
        return None if daily == "none" else float(daily)
    except ValueError:
        raise typer.BadParameter(f"{daily!r} is no sum; write 20, 0.5 or none") from None


def _sum(budget: BudgetJson) -> str:
    return "no limit" if budget["daily_usd"] is None else f"${budget['daily_usd']:g}"
