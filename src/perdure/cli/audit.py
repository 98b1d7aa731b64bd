"""`perdure audit`: who did what."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.options import AsJson, Cursor, Limit, Url, examples, new_app
from perdure.cli.talk import talk
from perdure.cli.words import json_text, print_json, say, short, table

app: typer.Typer = new_app("Who did what, newest first.")


@app.command(epilog=examples("perdure audit --action dead-letter.revive", "perdure audit --target msg_01k7s8x4zv000 --json"))
def audit(
    *,
    who: Annotated[str | None, typer.Option(help="A key's id.", show_default=False)] = None,
    action: Annotated[str | None, typer.Option(help="What was done, such as queue.pause.", show_default=False)] = None,
    target: Annotated[str | None, typer.Option(help="A message, queue, schedule or key.", show_default=False)] = None,
    after: Annotated[str | None, typer.Option(help="Not before: 2026-11-23T14:00:00Z.", show_default=False)] = None,
    before: Annotated[str | None, typer.Option(help="Only before.", show_default=False)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List who did what, newest first."""
    said = {"who": who, "action": action, "target": target, "after": after, "before": before}
    page = talk(lambda client: client.audit(limit=limit, cursor=cursor, **said), url=url)
    if as_json:
        print_json(page)
        return
    rows = ((one["at"], one["who"], one["action"], one["target"], short(_told(one["details"]), 80)) for one in page["data"])
    table(("AT", "WHO", "DID", "TO", "DETAILS"), rows)
    if page["next_cursor"]:
        say(f"more: --cursor {page['next_cursor']}")


def _told(details: dict[str, object]) -> str:
    return json_text(details) if details else ""
