"""`perdure dead`: dead letters, one by one and by filter."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from perdure.cli.many import (
    AtMost,
    AtPace,
    DiedAfter,
    DiedBefore,
    DryRun,
    Everything,
    ForAgent,
    InQueue,
    OfCode,
    OfPattern,
    OfTenant,
    OneId,
    Onwards,
    WithText,
    Yes,
    chosen,
    many,
)
from perdure.cli.messages import show_message
from perdure.cli.options import AsJson, Cursor, Id, Limit, Url, examples, new_app
from perdure.cli.read import read_json
from perdure.cli.rows import MESSAGE_COLUMNS, error_line, in_json, message_row
from perdure.cli.talk import talk
from perdure.cli.words import print_json, say, short, table

app: typer.Typer = new_app("Dead letters: messages given up, with the reason: list, show, edit, revive, discard.", several=True)


@app.command("list", epilog=examples("perdure dead list --code provider-invalid-request"))
def list_dead(
    *,
    queue: Annotated[str | None, typer.Option(help="Only of this queue.", show_default=False)] = None,
    agent: Annotated[str | None, typer.Option(help="Only for this agent.", show_default=False)] = None,
    code: Annotated[str | None, typer.Option(help="Only those that died of this error.", show_default=False)] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, those put last first."""
    page = talk(lambda client: client.dead_letters(queue=queue, agent=agent, code=code, limit=limit, cursor=cursor), url=url)
    if as_json:
        print_json(page)
        return
    table(MESSAGE_COLUMNS, map(message_row, page["data"]))
    if page["next_cursor"]:
        say(f"more: --cursor {page['next_cursor']}")


@app.command(epilog=examples("perdure dead show msg_01k7s8x4zv000"))
def show(id: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Show a dead letter with what every attempt ended with."""
    letter = talk(lambda client: client.dead_letter(id), url=url)
    if as_json:
        print_json(letter)
        return
    show_message(letter)
    say("")
    rows = ((one["n"], one["kind"], one["at"], short(error_line(one["error"]), 100)) for one in letter["attempts_log"])
    table(("ATTEMPT", "ENDED AS", "AT", "ERROR"), rows)
    say(f"`perdure dead revive {letter['id']}` gives it another life")


@app.command(
    epilog=examples(
        "perdure dead revive msg_01k7s8x4zv000",
        "perdure dead revive --code provider-billing --per-s 10",
        "perdure dead revive --pattern pat_0123456789abcdef",
    )
)
def revive(
    id: OneId = None,
    *,
    queue: InQueue = None,
    agent: ForAgent = None,
    code: OfCode = None,
    tenant: OfTenant = None,
    died_after: DiedAfter = None,
    died_before: DiedBefore = None,
    text: WithText = None,
    pattern: OfPattern = None,
    everything: Everything = False,
    per_s: Annotated[float | None, typer.Option(help="Let so many become due in a second.", show_default=False)] = None,
    dry_run: DryRun = False,
    limit: AtMost = None,
    cursor: Onwards = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Give dead letters another life with all their attempts. What their runs have recorded is kept."""
    said = {"queue": queue, "agent": agent, "code": code, "tenant": tenant, "died_after": died_after, "died_before": died_before}
    wanted = chosen(id, everything=everything, **said, text=text, pattern=pattern)
    if wanted is None:
        message = talk(lambda client: client.revive(id or ""), url=url)
        print_json(message) if as_json else say(f"{message['id']} is {message['state']}")
        return

    many(
        lambda client, **how: client.revive_many(wanted, per_s=per_s, **how),
        what="revived",
        dry_run=dry_run,
        limit=limit,
        cursor=cursor,
        url=url,
        as_json=as_json,
    )


@app.command(epilog=examples("perdure dead discard msg_01k7s8x4zv000", "perdure dead discard --code invalid-input --dry-run"))
def discard(
    id: OneId = None,
    *,
    queue: InQueue = None,
    agent: ForAgent = None,
    code: OfCode = None,
    tenant: OfTenant = None,
    died_after: DiedAfter = None,
    died_before: DiedBefore = None,
    text: WithText = None,
    pattern: OfPattern = None,
    everything: Everything = False,
    per_s: AtPace = None,
    dry_run: DryRun = False,
    limit: AtMost = None,
    cursor: Onwards = None,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Forget dead letters for good, with their journals.

    Only the audit log remembers that they were there.
    """
    said = {"queue": queue, "agent": agent, "code": code, "tenant": tenant, "died_after": died_after, "died_before": died_before}
    wanted = chosen(id, everything=everything, **said, text=text, pattern=pattern)
    if wanted is None:
        talk(lambda client: client.discard(id or ""), url=url)
        print_json({"object": "discarded", "id": id}) if as_json else say(f"{id} is gone")
        return

    confirm = None if yes else "Forget them for good"
    many(
        lambda client, **how: client.discard_many(wanted, per_s=per_s, **how),
        what="discarded",
        dry_run=dry_run,
        limit=limit,
        cursor=cursor,
        url=url,
        as_json=as_json,
        confirm=confirm,
    )


@app.command(
    epilog=examples("perdure dead edit msg_01k7s8x4zv000 --body @new.json", "perdure dead edit --agent triage --patch '{\"n\": 2}'")
)
def edit(
    id: OneId = None,
    *,
    body: Annotated[str | None, typer.Option(help="Its new body, as JSON or @file; for one letter.", show_default=False)] = None,
    patch: Annotated[str | None, typer.Option(help="What to merge into each body (RFC 7396).", show_default=False)] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="0 is the most urgent.", show_default=False)] = None,
    attempts: Annotated[int | None, typer.Option(min=1, max=100, help="In its next life.", show_default=False)] = None,
    version: Annotated[str | None, typer.Option(help="The code it insists on; `any` sets it free.", show_default=False)] = None,
    deadline: Annotated[str | None, typer.Option(help="RFC 3339; `none` takes it away.", show_default=False)] = None,
    queue: InQueue = None,
    agent: ForAgent = None,
    code: OfCode = None,
    tenant: OfTenant = None,
    text: WithText = None,
    pattern: OfPattern = None,
    everything: Everything = False,
    per_s: AtPace = None,
    dry_run: DryRun = False,
    limit: AtMost = None,
    cursor: Onwards = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Change dead letters before their next life.

    What they were before is kept: `perdure dead edits ID`. Recorded steps stay as well; one that is called with
    other arguments afterwards is a divergence.
    """
    wanted = chosen(id, everything=everything, queue=queue, agent=agent, code=code, tenant=tenant, text=text, pattern=pattern)
    changes: dict[str, Any] = {"priority": priority, "attempts": attempts}
    changes = {name: value for name, value in changes.items() if value is not None}
    changes |= {} if version is None else {"version": None if version == "any" else version}
    changes |= {} if deadline is None else {"deadline": None if deadline == "none" else deadline}
    if wanted is None:
        if patch is not None:
            raise typer.BadParameter("--patch is for many; --body replaces the body of one")
        changes |= {} if body is None else {"body": msgspec.Raw(read_json(body, "--body"))}
        message = talk(lambda client: client.edit_dead_letter(id or "", changes), url=url)
        print_json(message) if as_json else show_message(message)
        return
    if body is not None:
        raise typer.BadParameter("--body is for one letter; --patch is merged into many")
    changes |= {} if patch is None else {"body_patch": msgspec.Raw(read_json(patch, "--patch"))}

    many(
        lambda client, **how: client.edit_many(wanted, changes, per_s=per_s, **how),
        what="edited",
        dry_run=dry_run,
        limit=limit,
        cursor=cursor,
        url=url,
        as_json=as_json,
    )


@app.command(epilog=examples("perdure dead edits msg_01k7s8x4zv000"))
def edits(id: Id, url: Url = None, as_json: AsJson = False) -> None:
    """List how a message was edited, and by whom."""
    found = talk(lambda client: client.edits(id), url=url)
    if as_json:
        print_json(found)
        return
    rows = ((one["at"], one["who"] or "", _before(one["before"]), _before(one["body_before"])) for one in found)
    table(("AT", "WHO", "BEFORE", "BODY BEFORE"), rows)


def _before(value: Any) -> str:
    return "" if value in ({}, None) else short(in_json(value))
