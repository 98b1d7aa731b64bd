"""Doing something to many messages by filter: counted first, then bite by bite with a progress bar, and resumable."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from perdure.cli.progress import HowFar
from perdure.cli.talk import talk
from perdure.cli.words import print_json, say
from perdure.client.aio import AsyncClient
from perdure.client.answers import BiteJson

_BITE = 1000

Ask = Callable[..., Awaitable[BiteJson]]
"""Asks the server for one bite: `ask(client, dry_run=…, limit=…, cursor=…)`."""

OneId = Annotated[str | None, typer.Argument(metavar="[ID]", help="`msg_…`; or say which by the options.", show_default=False)]
InQueue = Annotated[str | None, typer.Option("--queue", help="Only of this queue.", show_default=False)]
ForAgent = Annotated[str | None, typer.Option("--agent", help="Only for this agent.", show_default=False)]
OfCode = Annotated[str | None, typer.Option("--code", help="Only those that died of this error.", show_default=False)]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="Only of this tenant (operators).", show_default=False)]
DiedAfter = Annotated[str | None, typer.Option("--died-after", help="Not before: 2026-11-23T14:00:00Z.", show_default=False)]
DiedBefore = Annotated[str | None, typer.Option("--died-before", help="Only those that died before.", show_default=False)]
WithText = Annotated[str | None, typer.Option("--text", help="Only with this in the error or the body.", show_default=False)]
OfPattern = Annotated[str | None, typer.Option("--pattern", help="Only what died of this pattern of `perdure errors`.", show_default=False)]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count those that fit.")]
AtMost = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.", show_default=False)]
Onwards = Annotated[str | None, typer.Option("--cursor", help="Go on where a command broke off.", show_default=False)]
AtPace = Annotated[float | None, typer.Option("--per-s", help="No more than so many in a second.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

__all__ = [
    "AtMost",
    "AtPace",
    "DiedAfter",
    "DiedBefore",
    "DryRun",
    "Everything",
    "ForAgent",
    "InQueue",
    "OfCode",
    "OfPattern",
    "OfTenant",
    "OneId",
    "Onwards",
    "WithText",
    "Yes",
    "chosen",
    "many",
]


def chosen(id: str | None, *, everything: bool, **said: str | None) -> dict[str, Any] | None:
    """Make sure that one was named, or a filter, or all.

    Args:
        id (str | None): One message.
        everything (bool): All of them.
        **said (str | None): A filter.

    Returns:
        dict[str, Any] | None: The filter; None for one message.

    Raises:
        typer.BadParameter: None of the three, or more than one.
    """
    wanted = {name: value for name, value in said.items() if value is not None}
    if sum((id is not None, bool(wanted), everything)) != 1:
        raise typer.BadParameter("name one ID, or say which by options such as --code, or say --all")
    return None if id is not None else wanted


def many(
    ask: Ask,
    *,
    what: str,
    dry_run: bool,
    limit: int | None,
    cursor: str | None,
    url: str | None,
    as_json: bool,
    confirm: str | None = None,
) -> None:
    """Count those that fit, then do it, bite by bite.

    Args:
        ask (Ask): Asks for one bite.
        what (str): What is done: `revived`.
        dry_run (bool): Only count.
        limit (int | None): At most so many; None for all.
        cursor (str | None): Where to go on.
        url (str | None): Where the server is, if said.
        as_json (bool): Print JSON.
        confirm (str | None): What to ask before; None asks nothing.
    """
    counted = talk(lambda client: _counted(client, ask, limit, cursor), url=url)
    if dry_run or not counted["done"]:
        _show(counted, f"{counted['done']} fit" + "".join(f"\n  {one}" for one in counted["sample"]), as_json=as_json)
        return
    if confirm is not None:
        _confirmed(f"{confirm} ({counted['done']} messages)")
    done = talk(
        lambda client: _done(client, ask, what=what, total=counted["done"], limit=limit, cursor=cursor),
        url=url,
        retry_for_s=30.0,
        many=True,
    )
    told = f"{what}: {done['done']}" + (f", refused: {done['refused']}" if done["refused"] else "")
    _show(done, told + (f", the last comes at {done['due_at']}" if done["due_at"] else ""), as_json=as_json)


async def _counted(client: AsyncClient, ask: Ask, limit: int | None, cursor: str | None) -> BiteJson:
    bite: BiteJson = await ask(client, dry_run=True, limit=10_000 if limit is None else min(limit, 10_000), cursor=cursor)
    while bite["next_cursor"] is not None and (limit is None or bite["done"] < limit):
        most = 10_000 if limit is None else min(limit - bite["done"], 10_000)
        more = await ask(client, dry_run=True, limit=most, cursor=bite["next_cursor"])
        bite["done"] += more["done"]
        bite["next_cursor"] = more["next_cursor"]
    return bite


async def _done(client: AsyncClient, ask: Ask, *, what: str, total: int, limit: int | None, cursor: str | None) -> BiteJson:
    left, whole, done = limit, False, {"done": 0, "refused": 0}
    problems: list[str] = []
    try:
        with HowFar(what, total) as far:
            while True:
                bite = await ask(client, dry_run=False, limit=_BITE if left is None else min(left, _BITE), cursor=cursor)
                far.count(bite["done"])
                far.count(bite["refused"], failed=True)
                done = {name: n + bite[name] for name, n in done.items()}  # type: ignore[literal-required]
                problems += bite["problems"]
                cursor = bite["next_cursor"]
                left = None if left is None else left - bite["done"]
                if cursor is None or left == 0:
                    whole = True
                    return {**bite, "done": done["done"], "refused": done["refused"], "problems": problems}
    finally:
        if not whole and cursor is not None:
            say(f"stopped after {done['done']}; go on with --cursor {cursor}")


def _confirmed(question: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question}? Say --yes.")
    typer.confirm(f"{question}?", abort=True, err=True)


def _show(bite: BiteJson, told: str, *, as_json: bool) -> None:
    if as_json:
        print_json(bite)
        return
    say(told)
    for problem in bite["problems"][:5]:
        say(f"  {problem}")
