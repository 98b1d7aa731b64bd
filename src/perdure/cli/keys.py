"""`perdure keys`: create opens the store itself; list and revoke ask the server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from perdure.app import open_store
from perdure.cli.given import load_settings
from perdure.cli.options import AsJson, Data, Env, Url, examples, new_app
from perdure.cli.private_files import data_folder_for, write_private
from perdure.cli.talk import talk
from perdure.cli.words import print_json, say, table
from perdure.client.address import key_file
from perdure.clock import iso, now
from perdure.config.settings import Settings
from perdure.errors.base import Conflict
from perdure.security.access import OPERATOR, PROGRAM_SCOPES, scope_problems
from perdure.security.audit import Actor
from perdure.security.keys import Key, digest, make_key

app: typer.Typer = new_app("API keys: create, list, revoke.", several=True)


class _Wanted(NamedTuple):
    """What was said of a new key; None where nothing was."""

    name: str
    tenant: str | None
    scopes: list[str] | None
    expires_at: float | None


@app.command(
    epilog="""\b
Opens the store itself, so it works where there is no key yet. The first key is an operator's:
tenant * and scope *, where you say neither. A later one gets the tenant `default`, and the
scopes of a program that puts messages, waits for their results and asks models.
On a terminal the key is shown, once; otherwise it goes to a file and never to an output.
\b
Examples:
  perdure keys create ci --out ci.key
  perdure keys create shop --tenant shop --scope messages:write --scope messages:read
  perdure keys create boss --tenant '*' --scope '*'
"""
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="For people.")],
    *,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="What it may do; again for more.", show_default="what programs need")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose messages it opens; `*` for all.", show_default="default")] = None,
    days: Annotated[float | None, typer.Option(min=0.001, help="Good for so many days.", show_default="for ever")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the key to this file, mode 0600.", show_default=False)] = None,
    data: Data = None,
    env: Env = "",
    as_json: AsJson = False,
) -> None:
    """Make an API key, with access to the store."""
    if problems := scope_problems(scope or []):
        raise typer.BadParameter("; ".join(problems))
    settings = load_settings(env, data=data)
    expires_at = None if days is None else now() + days * 86400
    shown = out is None and sys.stdout.isatty()
    wanted = _Wanted(name, tenant, scope, expires_at)
    key, secret, file = asyncio.run(_make(settings, wanted, None if shown else out or key_file(data_folder_for(settings.data)), said=out))
    scopes = list(key.scopes)
    told = {"id": key.id, "name": name, "tenant": key.tenant, "scopes": scopes, "expires_at": iso(expires_at), "file": file and str(file)}
    if as_json:
        print_json(told | ({"key": secret} if shown else {}))
    elif shown:
        typer.echo(secret)
        say(f"{key.id}; this is shown once")
    else:
        say(f"{key.id} is in {file}")


@app.command("list", epilog=examples("perdure keys list --json"))
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


@app.command(epilog=examples("perdure keys revoke key_1f2e3d4c5b6a7988"))
def revoke(id: Annotated[str, typer.Argument(metavar="ID", help="`key_…`.")], *, url: Url = None) -> None:
    """Let a key open nothing any more."""
    talk(lambda client: client.revoke_key(id), url=url)
    say(f"{id} opens nothing any more")


async def _make(settings: Settings, wanted: _Wanted, file: Path | None, *, said: Path | None) -> tuple[Key, str, Path | None]:
    async with open_store(settings) as store:
        first = all(key.revoked_at is not None for key in await store.keys.list())
        key, secret = make_key(
            wanted.name,
            tenant=wanted.tenant or (OPERATOR if first else "default"),
            scopes=wanted.scopes or (["*"] if first else PROGRAM_SCOPES),
            now=now(),
            expires_at=wanted.expires_at,
        )
        if file is not None:
            _write(secret, file, said=said is not None)
        await store.keys.add(key, digest(secret), by=Actor("cli"))
    return key, secret, file


def _write(secret: str, file: Path, *, said: bool) -> None:
    if not write_private(file, secret.encode() + b"\n", replace=False):
        other = "Name another." if said else "The key is shown on a terminal alone, and this is none; --out FILE writes it to another file."
        raise Conflict(f"{str(file)!r} is there already", hint=other)


def _moments(*moments: str | None) -> list[str]:
    return [moment[:16].replace("T", " ") if moment else "" for moment in moments]
