"""`perdure schedules`: messages that are put by a calendar."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from perdure.cli.options import AsJson, Url, examples, new_app
from perdure.cli.read import read_json
from perdure.cli.talk import talk
from perdure.cli.words import fields, json_text, print_json, say, table
from perdure.client.answers import ScheduleJson

app: typer.Typer = new_app("Messages put by a calendar: list, show, add, pause, resume, run, remove.", several=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name.")]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="Whose (operators).", show_default=False)]


class Misfire(StrEnum):
    """What becomes of moments that passed while nobody looked."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a moment at which the message before goes on."""

    ALLOW = "allow"
    SKIP = "skip"


@app.command("list", epilog=examples("perdure schedules list"))
def list_schedules(tenant: OfTenant = None, url: Url = None, as_json: AsJson = False) -> None:
    """List schedules, with when they fire next."""
    found = talk(lambda client: client.schedules(tenant=tenant), url=url)
    if as_json:
        print_json(found)
        return
    table(("NAME", "CRON", "ZONE", "AGENT", "NEXT", "LAST", "FIRED", "PASSED OVER"), map(_row, found))


@app.command(epilog=examples("perdure schedules show nightly --next 10"))
def show(
    name: Name,
    next: Annotated[int, typer.Option(min=0, max=100, help="So many of its next moments.")] = 5,
    tenant: OfTenant = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show a schedule and its next moments."""
    schedule = talk(lambda client: client.schedule(name, next=next, tenant=tenant), url=url)
    print_json(schedule) if as_json else _show(schedule)


@app.command(
    epilog=examples(
        "perdure schedules add nightly triage '{\"ticket\": 1}' --cron '30 2 * * *' --timezone Europe/Berlin",
        "perdure schedules add hourly report @body.json --cron @hourly --overlap skip",
    )
)
def add(
    name: Name,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Who is to do it.")],
    body: Annotated[str, typer.Argument(metavar="BODY", help="JSON, `-` for stdin, @file for a file.")],
    *,
    cron: Annotated[str, typer.Option(help="Five fields, or @hourly, @daily, @weekly, @monthly, @yearly.")],
    timezone: Annotated[str, typer.Option(help="Such as Europe/Berlin.")] = "UTC",
    misfire: Annotated[Misfire, typer.Option(help="For moments missed: nothing, one message, or each.")] = Misfire.ONCE,
    overlap: Annotated[Overlap, typer.Option(help="skip: not while the message before goes on.")] = Overlap.ALLOW,
    queue: Annotated[str | None, typer.Option(help="Where it waits.", show_default=False)] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="0 is the most urgent.", show_default=False)] = None,
    attempts: Annotated[int | None, typer.Option(min=1, max=100, show_default=False)] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of the one with this name.")] = False,
    tenant: OfTenant = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Keep a schedule."""
    options: dict[str, Any] = {"timezone": timezone, "misfire": misfire.value, "overlap": overlap.value}
    options |= {"queue": queue, "priority": priority, "attempts": attempts, "tenant": tenant, "replace": replace}
    content = msgspec.Raw(read_json(body, "the body"))
    schedule = talk(lambda client: client.put_schedule(name, cron=cron, agent=agent, body=content, **options), url=url)
    print_json(schedule) if as_json else _show(schedule)


@app.command(epilog=examples("perdure schedules pause nightly"))
def pause(name: Name, tenant: OfTenant = None, url: Url = None, as_json: AsJson = False) -> None:
    """Let a schedule fire no more until it is resumed."""
    schedule = talk(lambda client: client.pause_schedule(name, tenant=tenant), url=url)
    print_json(schedule) if as_json else say(f"paused {name}; `perdure schedules resume {name}` lifts it")


@app.command(epilog=examples("perdure schedules resume nightly"))
def resume(name: Name, tenant: OfTenant = None, url: Url = None, as_json: AsJson = False) -> None:
    """Let a schedule fire again, from its next moment on."""
    schedule = talk(lambda client: client.resume_schedule(name, tenant=tenant), url=url)
    print_json(schedule) if as_json else say(f"{name} fires next at {schedule['next_at']}")


@app.command(epilog=examples("perdure schedules run nightly"))
def run(name: Name, tenant: OfTenant = None, url: Url = None, as_json: AsJson = False) -> None:
    """Put a schedule's message now, whatever its calendar says."""
    put = talk(lambda client: client.run_schedule(name, tenant=tenant), url=url)
    print_json({"object": "receipt", "id": put, "duplicate": False}) if as_json else typer.echo(put)


@app.command(epilog=examples("perdure schedules remove nightly"))
def remove(name: Name, tenant: OfTenant = None, url: Url = None) -> None:
    """Forget a schedule. What it has put stays."""
    talk(lambda client: client.remove_schedule(name, tenant=tenant), url=url)
    say(f"{name} is gone; what it has put stays")


def _row(schedule: ScheduleJson) -> tuple[object, ...]:
    next_at = "paused" if schedule["paused"] else schedule["next_at"]
    numbers = (schedule["fired"], schedule["passed_over"])
    return (
        schedule["name"],
        schedule["cron"],
        schedule["timezone"],
        schedule["message"]["agent"],
        next_at,
        schedule["last_at"] or "",
        *numbers,
    )


def _show(schedule: ScheduleJson) -> None:
    put = schedule["message"]
    fields(
        [
            ("name", schedule["name"]),
            ("fires", f"{schedule['cron']} in {schedule['timezone']}" + (", paused" if schedule["paused"] else "")),
            ("misfire", schedule["misfire"]),
            ("overlap", schedule["overlap"]),
            ("agent", f"{put['agent']}, queue {put['queue']}, priority {put['priority']}"),
            ("body", json_text(put["body"])),
            ("last", f"{schedule['last_at']} as {schedule['last_id']}" if schedule["last_id"] else None),
            ("fired", f"{schedule['fired']}, passed over {schedule['passed_over']}"),
            ("next", ", ".join(schedule["upcoming"]) if not schedule["paused"] else None),
        ]
    )
