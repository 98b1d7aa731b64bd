"""`perdure dead`: dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.messages import show_message
from perdure.cli.options import AsJson, Cursor, Id, Limit, Url, new_app
from perdure.cli.rows import MESSAGE_COLUMNS, error_line, message_row
from perdure.cli.talk import talk
from perdure.cli.words import print_json, say, short, table

app: typer.Typer = new_app("Dead letters: messages given up, with the reason: list, show, revive.", several=True)


@app.command("list", epilog="Example:  perdure dead list --code provider-invalid-request")
def list_dead(
    *,
    queue: Annotated[str | None, typer.Option(help="Only of this queue.", show_default=False)] = None,
    agent: Annotated[str | None, typer.Option(help="Only for this agent.", show_default=False)] = None,
    code: Annotated[str | None, typer.Option(help="Only those that died of this error.", show_default=False)] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, those put last first."""
    page = talk(lambda client: client.dead_letters(queue=queue, agent=agent, code=code, limit=limit, cursor=cursor), url=url)
    if as_json:
        print_json(page)
        return
    table(MESSAGE_COLUMNS, map(message_row, page["data"]))
    if page["next_cursor"]:
        say(f"more: --cursor {page['next_cursor']}")


@app.command(epilog="Example:  perdure dead show msg_01k7s8x4zv000")
def show(id: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Show a dead letter with what every attempt ended with."""
    letter = talk(lambda client: client.dead_letter(id), url=url)
    if as_json:
        print_json(letter)
        return
    show_message(letter)
    say("")
    rows = ((one["n"], one["kind"], one["at"], short(error_line(one["error"]), 100)) for one in letter["attempts_log"])
    table(("ATTEMPT", "ENDED AS", "AT", "ERROR"), rows)
    say(f"`perdure dead revive {letter['id']}` gives it another life")


@app.command(epilog="Example:  perdure dead revive msg_01k7s8x4zv000")
def revive(id: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Give a dead letter another life with all its attempts. What its run has recorded is kept."""
    message = talk(lambda client: client.revive(id), url=url)
    print_json(message) if as_json else say(f"{message['id']} is {message['state']}")
