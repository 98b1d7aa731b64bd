"""`perdure errors`: what errors mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.given import load_settings
from perdure.cli.options import AsJson, Data, Env, examples, new_app
from perdure.cli.read import read_bytes
from perdure.cli.words import fields, print_json, table
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

app: typer.Typer = new_app("What errors mean, and why.", several=True)


@app.callback()
def _several() -> None:
    """What errors mean, and why."""


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


def _said(source: str) -> tuple[ErrorSaid, bool]:
    path = Path(source)
    is_file = len(source) < 1000 and not source.startswith(("{", "[", "<", "@", "-")) and path.is_file()
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
