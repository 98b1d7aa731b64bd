"""`perdure lanes`: what providers' models may take in a minute, and what of it is taken."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.options import AsJson, Url, examples, new_app
from perdure.cli.talk import talk
from perdure.cli.words import clean, print_json, say, table
from perdure.client.answers import LaneJson

app: typer.Typer = new_app("What providers' models may take, and what of it is taken: list, open.", several=True)


@app.command("list", epilog=examples("perdure lanes list", "perdure lanes list --json"))
def list_lanes(*, url: Url = None, as_json: AsJson = False) -> None:
    """List lanes that have limits, were down, or are closed.

    What of a minute, a day and a month is used, and what stands against more.
    """
    found = talk(lambda client: client.lanes(), url=url)
    if as_json:
        print_json(found)
        return
    headings = ("LANE", "REQUESTS", "TOKENS", "AT ONCE", "USD TODAY", "USD MONTH", "WAITING", "WORKERS", "NEXT")
    table(headings, [_row(lane) for lane in found])


@app.command("open", epilog=examples("perdure lanes open qwen/qwen-max", "perdure lanes open smart"))
def open_lane(
    name: Annotated[str, typer.Argument(metavar="LANE", help="`provider/model`; or a model, for all its deployments.")],
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Open a closed lane, and wake what is parked for it.

    For when a key is mended, an account is paid or a provider is known to be up. Whoever meets the same again closes it again.
    """
    opened = talk(lambda client: client.open_lane(name), url=url)
    if as_json:
        print_json(opened)
    else:
        say(f"opened {', '.join(clean(one) for one in opened)}" if opened else f"{clean(name)} was open")


def _row(lane: LaneJson) -> tuple[str, ...]:
    limits = lane["limits"]
    return (
        lane["name"],
        _of(lane["requests"], limits["rpm"]),
        _of(lane["tokens"], limits["tpm"]),
        _of(lane["at_once"], limits["at_once"]),
        _of(lane["usd_today"], limits["usd_per_day"]),
        _of(lane["usd_this_month"], limits["usd_per_month"]),
        str(lane["waiting"]),
        str(lane["workers"]),
        _next(lane),
    )


def _of(used: float, most: float | None) -> str:
    return f"{used:g}" if most is None else f"{used:g}/{most:g}"


def _next(lane: LaneJson) -> str:
    if lane["closed_until"] is not None:
        return f"closed until {lane['closed_until']} ({lane['closed_why']})"
    return "down" if lane["down"] else lane["next_at"] or "now"
