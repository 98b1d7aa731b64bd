"""`perdure messages group`: how far many messages that were put together have come."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.options import AsJson, Url, examples, new_app
from perdure.cli.progress import HowFar
from perdure.cli.talk import talk
from perdure.cli.words import fields, print_json
from perdure.client.aio import AsyncClient
from perdure.client.answers import GroupJson

app: typer.Typer = new_app("How far messages that were put together have come.")


@app.command(epilog=examples("perdure messages group grp_01k7s8x4zv000 --wait"))
def group(
    id: Annotated[str, typer.Argument(metavar="GROUP", help="grp_…")],
    wait: Annotated[bool, typer.Option("--wait", help="Show how far it is until all have ended.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show how far a group of messages has come."""
    found = talk(lambda client: _watched(client, id) if wait else client.group(id), url=url, retry_for_s=60.0 if wait else 2.0)
    if as_json:
        print_json(found)
        return
    fields(
        [
            ("id", found["id"]),
            ("name", found["name"]),
            ("state", "ended" if found["ended_at"] else "open" if found["open"] else "running"),
            ("progress", f"{found['total'] - found['left']} of {found['total']} have ended"),
            ("done", str(found["done"])),
            ("dead", str(found["dead"]) if found["dead"] else None),
            ("cancelled", str(found["cancelled"]) if found["cancelled"] else None),
            ("then", found["then"]),
            ("ended", found["ended_at"]),
        ]
    )


async def _watched(client: AsyncClient, id: str) -> GroupJson:
    """Follow the changes, and the group's own numbers after each."""
    after = (await client.changes())["last"]
    group = await client.group(id)
    with HowFar("ended", group["total"]) as how_far:
        seen = 0
        while True:
            ended = group["total"] - group["left"]
            how_far.count(ended - seen)
            seen = ended
            if group["ended_at"]:
                return group
            after = (await client.changes(after, wait_s=5.0))["last"]
            group = await client.group(id)
