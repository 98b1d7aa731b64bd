"""`perdure errors`: what goes wrong, how often, and what it means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from perdure.cli.given import load_settings
from perdure.cli.options import AsJson, Data, Env, Id, Limit, Url, examples, new_app
from perdure.cli.read import read_bytes
from perdure.cli.rows import error_line, in_json
from perdure.cli.talk import talk
from perdure.cli.words import ago, clean, fields, print_json, short, table
from perdure.client.aio import AsyncClient
from perdure.client.answers import MessagesPage, PatternJson, ReportJson, StepBrief
from perdure.clock import iso, now
from perdure.errors.base import NotFound
from perdure.providers.catalog import row_named
from perdure.providers.errors import Whence
from perdure.providers.explain import Explanation, explain
from perdure.providers.frames import said_in_stream
from perdure.providers.kinds import spoken_by
from perdure.providers.own_rules import own_rules
from perdure.wire.errors import ErrorSaid, read_error

_STREAM = (b"data:", b"event:", b":", b"id:")

__all__ = ["app"]

app: typer.Typer = new_app("What goes wrong: list, show, report, explain.", several=True)


@app.command("list", epilog=examples("perdure errors list", "perdure errors list --spikes --json", "perdure errors list --unmapped"))
def list_patterns(
    *,
    code: Annotated[str | None, typer.Option(help="Only with this code.", show_default=False)] = None,
    agent: Annotated[str | None, typer.Option(help="Only from runs of this agent.", show_default=False)] = None,
    provider: Annotated[str | None, typer.Option(help="Only from this provider.", show_default=False)] = None,
    trend: Annotated[str | None, typer.Option(help="new, rising, steady, falling or quiet.", show_default=False)] = None,
    spikes: Annotated[bool, typer.Option("--spikes", help="Only those that come far more often than usual.")] = False,
    unmapped: Annotated[bool, typer.Option("--unmapped", help="Only answers of providers that no rule knows, with one of each.")] = False,
    limit: Limit = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List patterns among errors, newest first."""
    how = {"code": code, "agent": agent, "provider": provider, "trend": trend}
    found = talk(lambda client: client.errors(**how, spikes=spikes, unmapped=unmapped, limit=limit), url=url)
    if as_json:
        print_json(found)
        return
    table(("PATTERN", "CODE", "COUNT", "DAY", "TREND", "LAST", "WHO", "MESSAGE"), map(_row, found))
    for one in found if unmapped else ():
        print(f"\n{one['id']} said: {clean(one['sample'])}")
        for line in (one["hint"] or "").split("\n"):
            print(f"  {clean(line)}")


@app.command(epilog=examples("perdure errors show pat_0123456789abcdef"))
def show(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="`pat_…`.")], limit: Limit = 10, url: Url = None, as_json: AsJson = False
) -> None:
    """Show a pattern and its dead letters."""

    async def look(client: AsyncClient) -> tuple[PatternJson, MessagesPage]:
        return await client.error_pattern(pattern), await client.pattern_dead_letters(pattern, limit=limit)

    found, letters = talk(look, url=url)
    if as_json:
        print_json({"pattern": found, "dead_letters": letters["data"]})
        return
    _show_pattern(found)
    if letters["data"]:
        table(("DEAD LETTER", "QUEUE", "ENDED"), ((one["id"], one["queue"], one["ended_at"]) for one in letters["data"]))


@app.command(epilog=examples("perdure errors report msg_01k7s8x4zv000"))
def report(id: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Say all about why a message died."""
    found = talk(lambda client: client.error_report(id), url=url)
    print_json(found) if as_json else _show_report(found)


@app.command(
    "explain",
    epilog=examples(
        "perdure errors explain body.json --provider qwen --status 429",
        "curl -s … | perdure errors explain - --dialect openai --status 429 --header 'Retry-After: 30'",
    ),
)
def explain_body(
    body: Annotated[str, typer.Argument(metavar="BODY", help="What a provider answered: a file, `-` for stdin, or the text itself.")],
    *,
    provider: Annotated[str | None, typer.Option(help="Of the settings: its dialect, and the rules for it.", show_default=False)] = None,
    dialect: Annotated[str | None, typer.Option(help="Who speaks, such as `dashscope` or `vllm`.", show_default=False)] = None,
    status: Annotated[int | None, typer.Option(min=100, max=599, help="With which HTTP status.", show_default=False)] = None,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="`Name: value`; several times.", show_default=False)] = None,
    data: Data = None,
    env: Env = "",
    as_json: AsJson = False,
) -> None:
    """Say which rule judges an answer, and why.

    Also which rules are near, and what will become of the message. The rules of your own settings
    count. What begins with `data:` or `event:` is read as a stream.
    """
    settings = load_settings(env, data=data)
    if provider is not None and provider not in settings.providers:
        raise NotFound(f"there is no provider {provider!r} in the settings", hint=f"There is: {', '.join(settings.providers) or 'none'}.")
    row = settings.providers.get(provider or "")
    named = row_named(dialect)
    spoken = named.dialect if named is not None else dialect if row is None else spoken_by(provider or "", row)
    said, framed = _said(body)
    whence = Whence(
        provider=provider or dialect or "provider",
        dialect=spoken,
        status=200 if framed and status is None else status,
        headers=dict(_header(one) for one in header or []),
        rules=own_rules(settings.errors.rules, provider=provider or "", dialect=spoken),
    )
    found_out = explain(said, whence, now())
    print_json(found_out) if as_json else _show(found_out)


def _row(found: PatternJson) -> tuple[object, ...]:
    who = found["tool"] or found["provider"] or found["agent"] or found["where"]
    trend = found["trend"] + (" !" if found["spike"] else "")
    return found["id"], found["code"], found["count"], found["last_day"], trend, ago(found["last_at"]), who, short(found["template"], 80)


def _show_pattern(found: PatternJson) -> None:
    fields(
        [
            ("pattern", found["id"]),
            ("code", f"{found['code']} ({found['category']})"),
            ("message", found["template"]),
            ("no rule knows it; it said" if found["unmapped"] else "last said", found["sample"]),
            ("hint", found["hint"]),
            ("where", ", ".join(f"{name} {found[name]}" for name in ("agent", "provider", "tool", "tool_version", "frame") if found[name])),
            ("count", f"{found['count']} since {found['first_at']}, the last at {found['last_at']}"),
            ("trend", f"{found['trend']}: {found['last_day']} within a day, {found['day_before']} the day before"),
            ("spike", "yes: far more than in hours of the day before" if found["spike"] else None),
            ("hours", " ".join(map(str, found["hours"]))),
        ]
    )
    if found["correlations"]:
        rows = ((one["what"], one["value"], f"{one['share']:.0%}", f"{one['usual']:.0%}") for one in found["correlations"])
        table(("TOGETHER WITH", "VALUE", "OF THESE", "OF OTHERS"), rows)


def _show_report(found: ReportJson) -> None:
    error, step = found["error"], found["failed_step"]
    fields(
        [
            ("message", f"{found['id']} for {found['agent']} {found['code_version'] or ''} in {found['queue']}"),
            ("died of", error_line(error)),
            ("is", f"{error['category']} ({error['code']})"),
            ("hint", error["hint"]),
            ("evidence", in_json(error["evidence"])),
            ("next", found["next"]["words"]),
            ("in step", f"{step['number']} {step['kind']} {step['name']} (tries: {step['tries']})" if step else None),
            ("pattern", found["pattern"]),
        ]
    )
    for cause in error["causes"]:
        fields([("caused by", cause)])
    attempts = ((one["n"], one["kind"], one["at"], error_line(one["error"])) for one in found["attempts"])
    table(("ATTEMPT", "ENDED AS", "AT", "ERROR"), attempts)
    if found["steps"]:
        table(("STEP", "KIND", "NAME", "STATE", "TRIES", "ERROR"), map(_step_row, found["steps"]))


def _step_row(step: StepBrief) -> tuple[Any, ...]:
    error = step["error"]
    return step["number"], step["kind"], step["name"], step["state"], step["tries"], "" if error is None else short(error_line(error), 80)


def _said(source: str) -> tuple[ErrorSaid, bool]:
    path = Path(source)
    is_named = len(source) < 1000 and not source.startswith(("{", "[", "<", "@", "-"))
    is_file = is_named and (path.is_file() or path.suffix in {".json", ".txt"})  # one that is not there is no answer
    raw = read_bytes(f"@{source}" if is_file else source, "the answer")
    if raw.lstrip().startswith(_STREAM):
        framed = said_in_stream(raw)
        if framed is None:
            raise NotFound("there is no error in this stream", hint="An event of the kind `error`, or one whose data is an error.")
        return framed, True
    return read_error(raw), False


def _header(written: str) -> tuple[str, str]:
    name, colon, value = written.partition(":")
    if not colon or not name.strip():
        raise typer.BadParameter(f"{written!r} is no header: write 'Name: value'")
    return name.strip(), value.strip()


def _show(found: Explanation) -> None:
    error = found.error
    fields(
        [
            ("rule", f"{found.rule} ({found.table})"),
            ("because", "; ".join(found.because)),
            ("is", f"{error.category.value} ({error.code})"),
            ("retryable", "yes" if error.retryable else "no"),
            ("retry at", iso(error.retry_at)),
            ("scope", error.scope.value),
            ("billed", error.billed.value),
            ("message", error.message),
            ("hint", error.hint),
            ("next", found.next.words),
        ]
    )
    if found.near:
        rows = ((one.rule, one.becomes, ", ".join(one.missed) or "nothing: it comes later") for one in found.near)
        table(("NEAR RULE", "WOULD BE", "MISSED"), rows)
