"""`perdure providers`: who answers prompts, and whether they can."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
import typer

from perdure.cli.given import load_settings
from perdure.cli.options import AsJson, Data, Env, Url, examples, new_app
from perdure.cli.talk import talk
from perdure.cli.words import ago, clean, print_json, table
from perdure.client.answers import ProviderHealthJson, ProviderJson
from perdure.config.settings import ProviderSettings, Settings
from perdure.errors.base import NotFound
from perdure.providers.arranging import with_accounts
from perdure.providers.checkup import Checkup, checkup_of, examine
from perdure.providers.kinds import known_kinds, make_provider
from perdure.providers.protocol import ChatProvider

app: typer.Typer = new_app("Who answers prompts: list, check, kinds.", several=True)


@app.command("list", epilog=examples("perdure providers list --json", "perdure providers list --health"))
def list_providers(
    *,
    health: Annotated[bool, typer.Option("--health", help="Those of a running server, and how its workers found them.")] = False,
    data: Data = None,
    env: Env = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the providers of the settings. Asks none of them.

    With --health a server is asked, for what the looks of its workers found.
    """
    if health:
        found = talk(lambda client: client.providers(), url=url)
        print_json(found) if as_json else _tell_health(found)
        return
    rows = _rows(load_settings(env, data=data))
    told = [
        {"name": name, "kind": row.kind, "dialect": row.dialect, "base_url": row.base_url, "models": row.models}
        for name, row in rows.items()
    ]
    if as_json:
        print_json(told)
        return
    lines = ((name, row.kind, row.dialect or "", row.base_url or row.region or "", " ".join(row.models)) for name, row in rows.items())
    table(("NAME", "KIND", "DIALECT", "WHERE", "MODELS"), lines)


@app.command(epilog=examples("perdure providers check", "perdure providers check qwen", "perdure providers check qwen --conformance"))
def check(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of the settings; all but `local` if left out.")] = None,
    *,
    conformance: Annotated[
        bool, typer.Option("--conformance", help="Prove it with the whole provider kit: asks it some forty times, and a fault server too.")
    ] = False,
    data: Data = None,
    env: Env = "",
    as_json: AsJson = False,
) -> None:
    """Find out whether providers can be used.

    Whether each is reachable, its key good and its models there, and how fast it says so.

    Ends with 1 if one cannot. Uses the settings and keys of this machine; a running server checks with
    its own at POST /api/v1/providers/NAME/check.
    """
    settings = load_settings(env, data=data)
    rows = _rows(settings)
    if name is not None and name not in rows:
        raise NotFound(f"there is no provider {name!r}", hint=f"There is: {', '.join(rows)}.")
    if conformance:
        _prove(name, rows, settings, as_json=as_json)
        return
    wanted = [name] if name is not None else [one for one in rows if rows[one].kind != "local"]
    found = asyncio.run(_check({one: rows[one] for one in wanted}, settings))
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _tell(found)
    if not all(one.ok for one in found):
        raise typer.Exit(1)


@app.command(epilog=examples("perdure providers kinds"))
def kinds(*, as_json: AsJson = False) -> None:
    """List what can stand after `kind =`, also from installed packages."""
    known = known_kinds()
    if as_json:
        print_json(known)
    else:
        table(("KIND", "FROM"), known.items())


def _rows(settings: Settings) -> dict[str, ProviderSettings]:
    return dict(with_accounts({"local": ProviderSettings(kind="local"), **settings.providers}))


async def _check(rows: dict[str, ProviderSettings], settings: Settings) -> list[Checkup]:
    return list(await asyncio.gather(*(_checked(name, row, settings) for name, row in rows.items())))


async def _checked(name: str, row: ProviderSettings, settings: Settings) -> Checkup:
    async def make() -> None:
        made.append(make_provider(name, row, data=settings.data))

    made: list[ChatProvider] = []
    found = await examine(name, (), make)  # a key that cannot be found is a finding too
    for provider in made:
        found = await checkup_of(provider)
        await provider.aclose()
    return found


def _tell(found: list[Checkup]) -> None:
    marks = {True: "yes", False: "NO", None: "?"}
    lines = (
        (
            one.provider,
            "ok" if one.ok else "FAILED",
            marks[one.reachable],
            marks[one.key_good],
            marks[one.models_there],
            f"{one.latency_s * 1000:.0f} ms",
        )
        for one in found
    )
    table(("NAME", "", "REACHED", "KEY", "MODELS", "TOOK"), lines)
    for one in found:
        if one.error is not None:
            print(f"{one.provider}: {clean(one.error.message)}")
            if one.error.hint:
                print(f"  hint: {clean(one.error.hint)}")


def _tell_health(found: list[ProviderJson]) -> None:
    known = [(one["name"], one["health"]) for one in found]
    table(("NAME", "", "SINCE", "LOOKED", "TOOK", "IN A ROW"), (_health_row(name, health) for name, health in known))
    for name, health in known:
        error = None if health is None or health["found"] is None else health["found"]["error"]
        if error is not None:
            print(f"{name}: {clean(error['message'])}")
            if error["hint"]:
                print(f"  hint: {clean(error['hint'])}")


def _health_row(name: str, health: ProviderHealthJson | None) -> tuple[str, ...]:
    if health is None or health["found"] is None:
        return name, "not looked at", "", "", "", ""
    state = {True: "ok", False: "FAILED", None: "?"}[health["ok"]]
    failures = f"{health['failures']} failed" if health["failures"] else ""
    return name, state, ago(health["since"]), ago(health["looked_at"]), f"{health['found']['latency_s'] * 1000:.0f} ms", failures


def _prove(name: str | None, rows: dict[str, ProviderSettings], settings: Settings, *, as_json: bool) -> None:
    if name is None:
        raise typer.BadParameter("--conformance proves one provider: name it")
    from perdure.cli.proving import prove

    if not prove(name, rows[name], settings, as_json=as_json):
        raise typer.Exit(1)
