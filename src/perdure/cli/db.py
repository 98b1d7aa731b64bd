"""`perdure db`: upgrade, backup, restore, verify. Opens the store itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from perdure.app import open_upkeep
from perdure.cli.exits import Exit
from perdure.cli.given import load_settings
from perdure.cli.options import AsJson, Data, Env, new_app
from perdure.cli.words import clean, print_json, say
from perdure.stores.upkeep import Fault, Upkeep

app: typer.Typer = new_app("The database: upgrade, backup, restore, verify.", several=True)


@app.command(
    epilog="""\b
Servers and workers upgrade the store themselves when they start; this does it beforehand, and
shows with --dry-run what it would be. Many may do it at once: one does, the others wait. What
was there before is kept: an SQLite file beside itself, a store in PostgreSQL in the data folder,
by pg_dump.
\b
Examples:
  perdure db upgrade --dry-run
  perdure db upgrade
"""
)
def upgrade(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    no_backup: Annotated[bool, typer.Option("--no-backup", help="Keep no copy of what was there before.")] = False,
    data: Data = None,
    env: Env = "",
    as_json: AsJson = False,
) -> None:
    """Bring the store to the shape this version knows, or make it."""
    upkeep = _upkeep(data, env)
    if dry_run:
        _say_pending(asyncio.run(upkeep.pending()), as_json=as_json)
        return
    done = asyncio.run(upkeep.upgrade(backup=not no_backup))
    if as_json:
        print_json(msgspec.to_builtins(done))
        return
    for step in done.applied:
        typer.echo(step)
    if done.backup:
        say(f"what was there before is kept in {done.backup}")
    say("upgraded" if done.applied else "the store is up to date")


@app.command(
    epilog="""\b
Servers and workers go on meanwhile; the copy is as of one moment, whole or not there, and readable
for you alone. A store in PostgreSQL is copied by pg_dump, which must be of its version or newer.
\b
Examples:
  perdure db backup "perdure-$(date +%F).db"
  PERDURE_DATABASE_URL=postgresql://… perdure db backup perdure.dump
"""
)
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    *,
    data: Data = None,
    env: Env = "",
    as_json: AsJson = False,
) -> None:
    """Keep a copy of the store."""
    upkeep = _upkeep(data, env)
    asyncio.run(upkeep.backup(file))
    told = {"file": str(file), "size_bytes": file.stat().st_size}
    if as_json:
        print_json(told)
    else:
        say(f"{file}: {told['size_bytes']:,} bytes")


@app.command(
    epilog="""\b
Stop servers and workers first. What was there is set aside, not deleted; where, is said. The store is
then as it was at the moment of the copy: what ended later is done again, and calls that were made later
are made again.
\b
Example:  perdure db restore perdure-2026-11-23.db
"""
)
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="From `perdure db backup`.")],
    *,
    data: Data = None,
    env: Env = "",
    as_json: AsJson = False,
) -> None:
    """Put a copy in the store's place."""
    done = asyncio.run(_upkeep(data, env).restore(file))
    if as_json:
        print_json(msgspec.to_builtins(done))
        return
    if done.replaced:
        say(f"what was there before is now {done.replaced}")
    say("restored")


@app.command(
    epilog="""\b
Reads everything, as of one moment, and holds nobody up: that each message is in exactly one place,
that kept numbers are what is there, and more. Exit code 1 if something is wrong.
\b
Example:  perdure db verify --json
"""
)
def verify(*, data: Data = None, env: Env = "", as_json: AsJson = False) -> None:
    """Look the whole store over."""
    faults = asyncio.run(_upkeep(data, env).verify())
    if as_json:
        print_json(msgspec.to_builtins(faults))
    else:
        _say_faults(faults)
    if faults:
        sys.exit(Exit.FAILURE)


def _upkeep(data: Path | None, env: str) -> Upkeep:
    return open_upkeep(load_settings(env, data=data))


def _say_pending(pending: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"pending": list(pending)})
        return
    for step in pending:
        typer.echo(step)
    if not pending:
        say("nothing to upgrade")


def _say_faults(faults: Sequence[Fault]) -> None:
    for fault in faults:
        typer.echo(f"{fault.check}: {fault.n} {clean(fault.what)}")
        for example in fault.examples:
            typer.echo(f"  {clean(example)}")
    say("something is wrong: keep this file, and go back to a backup if you have one" if faults else "all is sound")
