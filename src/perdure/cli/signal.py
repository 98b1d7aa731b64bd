"""`perdure signal`: tell a message what its run waits for."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from perdure.cli.options import AsJson, Id, Url, new_app
from perdure.cli.read import read_json
from perdure.cli.rows import why
from perdure.cli.talk import talk
from perdure.cli.words import clean, print_json, say

app: typer.Typer = new_app("Tell a message what its run waits for.")


@app.command(
    epilog="""\b
Examples:
  perdure signal msg_01k7s8x4zv000 approval --data '{"by": "ann", "ok": true}'
  perdure signal msg_01k7s8x4zv000 paid --data @receipt.json --key invoice-17
"""
)
def signal(
    id: Id,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As the agent says in `run.wait_for(NAME)`.")],
    *,
    data: Annotated[str | None, typer.Option(help="What the wait returns, as JSON or @file.", show_default="null")] = None,
    key: Annotated[str | None, typer.Option(help="The same key again signals nothing new.", show_default=False)] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Tell a message what its run waits for, or will wait for. Signals of one name are taken in their order."""
    said: Any = None if data is None else msgspec.Raw(read_json(data, "--data"))
    message = talk(lambda client: client.signal(id, name, said, key=key), url=url)
    if as_json:
        print_json(message)
    else:
        say(f"{message['id']} is {message['state']}{': ' + clean(why(message)) if why(message) else ''}")
