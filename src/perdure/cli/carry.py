"""`perdure messages fork | export | import`: runs made of other runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from perdure.cli.options import AsJson, Id, Url, examples, new_app
from perdure.cli.read import read_json
from perdure.cli.talk import talk
from perdure.cli.words import print_json, say

app: typer.Typer = new_app("Runs made of other runs: fork, export, import.", several=True)


@app.command(epilog=examples("perdure messages fork msg_01k7s8x4zv000 --from-step 4 --body @better.json"))
def fork(
    id: Id,
    *,
    from_step: Annotated[int, typer.Option(min=1, help="The first step that is made anew: `perdure messages steps ID`.")],
    body: Annotated[str | None, typer.Option(help="Another body, as JSON or @file.", show_default=False)] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="Another priority.", show_default=False)] = None,
    version: Annotated[str | None, typer.Option(help="The code version to run on; `any` for any.", show_default=False)] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let a run go on anew from one of its steps, as another message. The original stays as it is."""
    changes: dict[str, Any] = {}
    if body is not None:
        changes["body"] = msgspec.Raw(read_json(body, "--body"))
    if priority is not None:
        changes["priority"] = priority
    if version is not None:
        changes["version"] = None if version == "any" else version
    message = talk(lambda client: client.fork(id, from_step=from_step, changes=changes), url=url)
    print_json(message) if as_json else say(f"{message['id']} goes on from step {from_step} of {id}")


@app.command(epilog=examples("perdure messages export msg_01k7s8x4zv000 --to run.json"))
def export(
    id: Id,
    *,
    to: Annotated[Path | None, typer.Option(help="A file that is not there yet; else it is printed.", show_default=False)] = None,
    url: Url = None,
) -> None:
    """Write a run down as JSON, without secrets, for `import`."""
    run = talk(lambda client: client.export_run(id), url=url)
    if to is None:
        print_json(run)
        return
    try:
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(run), indent=1))
    except OSError as error:
        raise typer.BadParameter(f"{str(to)!r} cannot be written: {error.strerror}", param_hint="--to") from error
    say(f"{id} is written to {to}")


@app.command("import", epilog=examples("perdure messages import run.json --start"))
def import_run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `export` wrote; `-` for standard input.")],
    *,
    start: Annotated[bool, typer.Option("--start", help="Let a run that had not ended go on; else it is kept to be looked at.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Whose it will be (operators).", show_default=False)] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Bring a run that was exported, as a new message."""
    run = msgspec.json.decode(read_json("-" if file == "-" else f"@{file}", "FILE"))
    if not isinstance(run, dict):
        raise typer.BadParameter("this is no exported run", param_hint="FILE")
    message = talk(lambda client: client.import_run(run, start=start, tenant=tenant), url=url)
    print_json(message) if as_json else say(f"{message['id']} is {message['state']}")
