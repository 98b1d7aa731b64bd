"""`perdure usage`: what was used, and what it cost."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from perdure.cli.options import AsJson, Url, examples, new_app
from perdure.cli.talk import talk
from perdure.cli.words import print_json, table
from perdure.client.answers import SpentJson

app: typer.Typer = new_app("What was used and what it cost.")


class By(StrEnum):
    """What it is summed by."""

    DAY = "day"
    LANE = "lane"
    AGENT = "agent"
    TENANT = "tenant"
    KEY = "key"


@app.command(epilog=examples("perdure usage --by agent", "perdure usage --by day --since 2026-11-01 --json"))
def usage(
    *,
    by: Annotated[By, typer.Option(help="Summed by what.")] = By.LANE,
    since: Annotated[str | None, typer.Option(help="The first day (UTC).", metavar="DAY", show_default="the last")] = None,
    until: Annotated[str | None, typer.Option(help="The last day (UTC).", metavar="DAY", show_default="today")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Say what was used and what it cost, today or in a range of days."""
    spent = talk(lambda client: client.usage(by=by.value, since=since, until=until), url=url)
    if as_json:
        print_json(spent)
        return
    table((by.value.upper(), "CALLS", "IN", "OUT", "CACHED", "THOUGHT", "COST", "SAVED BY REPLAY"), (_row(one) for one in spent))


def _row(one: SpentJson) -> tuple[object, ...]:
    unknown = f" + {one['unpriced']} unknown" if one["unpriced"] else ""
    saved = f"${one['saved_usd']:.4f} in {one['saved_calls']}" if one["saved_calls"] else ""
    tokens = (one["input_tokens"], one["output_tokens"], one["cached_tokens"], one["reasoning_tokens"])
    return (one["name"] or "-", one["calls"], *tokens, f"${one['cost_usd']:.4f}{unknown}", saved)
