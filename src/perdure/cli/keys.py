"""`perdure keys`: create opens the store itself; list and revoke ask the server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from perdure.app import open_store
from perdure.cli.given import load_settings
from perdure.cli.options import AsJson, Data, Env, Url, new_app
from perdure.cli.private_files import data_folder_for, write_private
from perdure.cli.talk import talk
from perdure.cli.words import print_json, say, table
from perdure.client.address import key_file
from perdure.clock import iso, now
from perdure.config.settings import Settings
from perdure.errors.base import Conflict
from perdure.security.access import OPERATOR, scope_problems
from perdure.security.keys import Key, digest, make_key

app: typer.Typer = new_app("API keys: create, list, revoke.", several=True)


@app.command(
    epilog="""\b
Opens the store itself, so it works where there is no key yet. On a terminal the key is shown, once;
otherwise it goes to a file and never to an output.
\b
Examples:
  perdure keys create shop --tenant shop --scope messages:write --scope messages:read
  perdure keys create ci --out ci.key
"""
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="For people.")],
    *,
    scope: Annotated[list[str] | None, typer.Option("--scope", help="What it may do; again for more.", show_default="*")] = None,
    tenant: Annotated[str, typer.Option(help="Whose messages it opens; `*` for all.")] = OPERATOR,
    days: Annotated[float | None, typer.Option(min=0.001, help="Good for so many days.", show_default="for ever")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the key to this file, mode 0600.", show_default=False)] = None,
    data: Data = None,
    env: Env = "",
    as_json: AsJson = False,
) -> None:
    """Make an API key, with access to the store."""
    scopes = scope or ["*"]
    if problems := scope_problems(scopes):
        raise typer.BadParameter("; ".join(problems))
    settings = load_settings(env, data=data)
    expires_at = None if days is None else now() + days * 86400
    key, secret = make_key(name, tenant=tenant, scopes=scopes, now=now(), expires_at=expires_at)
    shown = out is None and sys.stdout.isatty()
    file = None if shown else _write(secret, out, data_folder_for(settings.data))
    asyncio.run(_keep(settings, key, secret))
    told = {"id": key.id, "name": name, "tenant": tenant, "scopes": scopes, "expires_at": iso(expires_at), "file": file and str(file)}
    if as_json:
        print_json(told | ({"key": secret} if shown else {}))
    elif shown:
        typer.echo(secret)
        say(f"{key.id}; this is shown once")
    else:
        say(f"{key.id} is in {file}")


@app.command("list", epilog="Example:  perdure keys list --json")
def list_keys(*, url: Url = None, as_json: AsJson = False) -> None:
    """List keys, newest first; never the keys themselves."""
    keys = talk(lambda client: client.keys(), url=url)
    if as_json:
        print_json(keys)
        return
    columns = ("ID", "NAME", "TENANT", "SCOPES", "ENDS", "MADE", "EXPIRES", "REVOKED")
    rows = (
        (
            key["id"],
            key["name"],
            key["tenant"],
            " ".join(key["scopes"]),
            f"…{key['last4']}",
            *_moments(key["created_at"], key["expires_at"], key["revoked_at"]),
        )
        for key in keys
    )
    table(columns, rows)


@app.command(epilog="Example:  perdure keys revoke key_1f2e3d4c5b6a7988")
def revoke(id: Annotated[str, typer.Argument(metavar="ID", help="`key_…`.")], *, url: Url = None) -> None:
    """Let a key open nothing any more."""
    talk(lambda client: client.revoke_key(id), url=url)
    say(f"{id} opens nothing any more")


def _write(secret: str, out: Path | None, data: Path) -> Path:
    file = out or key_file(data)
    if not write_private(file, secret.encode() + b"\n", replace=False):
        hint = (
            "The key is shown on a terminal alone, and this is none; --out FILE writes it to another file."
            if out is None
            else "Name another."
        )
        raise Conflict(f"{str(file)!r} is there already", hint=hint)
    return file


async def _keep(settings: Settings, key: Key, secret: str) -> None:
    async with open_store(settings) as store:
        await store.keys.add(key, digest(secret))


def _moments(*moments: str | None) -> list[str]:
    return [moment[:16].replace("T", " ") if moment else "" for moment in moments]
