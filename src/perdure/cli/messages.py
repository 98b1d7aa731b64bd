"""`perdure messages`: list, show, steps, cancel, group, decide, fork, export, import."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from perdure.cli import carry, groups
from perdure.cli.many import AtMost, DryRun, ForAgent, InQueue, OneId, Onwards, many
from perdure.cli.options import AsJson, Cursor, Id, Limit, Url, examples, new_app
from perdure.cli.read import read_json
from perdure.cli.rows import MESSAGE_COLUMNS, STEP_COLUMNS, error_line, message_row, money, step_row, tokens, why
from perdure.cli.talk import talk
from perdure.cli.words import fields, print_json, say, table
from perdure.client.answers import ErrorJson, MessageJson, UsageJson
from perdure.client.new import OWN_KEY
from perdure.messages.message import State

app: typer.Typer = new_app("Messages: list, show, steps, cancel, group, decide, fork, export, import.", several=True)

app.add_typer(groups.app)
app.add_typer(carry.app)


class Idle(StrEnum):
    """Where messages lie that do not run and have not ended."""

    READY = "ready"
    LATER = "later"
    HELD = "held"
    WAITING = "waiting"


class Decision(StrEnum):
    """What became of a step whose outcome is unknown."""

    HAPPENED = "happened"
    RUN_AGAIN = "run-again"
    BURY = "bury"


@app.command("list", epilog=examples("perdure messages list --state waiting --queue mail"))
def list_messages(
    *,
    state: Annotated[State | None, typer.Option(help="Only those in this state.", show_default=False)] = None,
    queue: Annotated[str | None, typer.Option(help="Only of this queue.", show_default=False)] = None,
    agent: Annotated[str | None, typer.Option(help="Only for this agent.", show_default=False)] = None,
    code: Annotated[str | None, typer.Option(help="Only those that died of this error.", show_default=False)] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List messages, those put last first."""
    page = talk(
        lambda client: client.messages(
            state=state.value if state else None, queue=queue, agent=agent, code=code, limit=limit, cursor=cursor
        ),
        url=url,
    )
    if as_json:
        print_json(page)
        return
    table(MESSAGE_COLUMNS, map(message_row, page["data"]))
    if page["next_cursor"]:
        say(f"more: --cursor {page['next_cursor']}")


@app.command(epilog=examples("perdure messages show msg_01k7s8x4zv000 --json"))
def show(id: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Show one message: where it is, why, and its result."""
    message = talk(lambda client: client.message(id), url=url)
    print_json(message) if as_json else show_message(message)


@app.command(epilog=examples("perdure messages steps msg_01k7s8x4zv000"))
def steps(id: Id, url: Url = None, as_json: AsJson = False) -> None:
    """List what a message's run has recorded."""
    found = talk(lambda client: client.steps(id), url=url)
    print_json(found) if as_json else table(STEP_COLUMNS, map(step_row, found))


@app.command(epilog=examples("perdure messages cancel msg_01k7s8x4zv000", "perdure messages cancel --state later --queue mail --dry-run"))
def cancel(
    id: OneId = None,
    *,
    state: Annotated[Idle | None, typer.Option(help="Those in this state.", show_default=False)] = None,
    queue: InQueue = None,
    agent: ForAgent = None,
    dry_run: DryRun = False,
    children: Annotated[bool, typer.Option("--children/--no-children", help="Of one ID: also what its run has sent.")] = True,
    limit: AtMost = None,
    cursor: Onwards = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Call a message off, or all of a state that fit."""
    if (id is None) == (state is None):
        raise typer.BadParameter("name one ID, or say which by --state, and perhaps --queue and --agent")
    if id is not None:
        message = talk(lambda client: client.cancel(id, children=children), url=url)
        if as_json:
            print_json(message)
        else:
            say(f"{message['id']} is {'being called off' if message['cancelling'] else message['state']}")
        return
    wanted = {"state": state.value if state else None, "queue": queue, "agent": agent}

    many(
        lambda client, **how: client.cancel_many(wanted, **how),
        what="cancelled",
        dry_run=dry_run,
        limit=limit,
        cursor=cursor,
        url=url,
        as_json=as_json,
    )


@app.command(
    epilog=examples(
        "perdure messages decide msg_01k7s8x4zv000 3 happened --result '{\"ok\": true}'",
        "perdure messages decide msg_01k7s8x4zv000 3 run-again",
        "perdure messages decide msg_01k7s8x4zv000 3 bury",
    )
)
def decide(
    id: Id,
    step: Annotated[int, typer.Argument(min=1, metavar="STEP", help="Its number: `perdure messages steps ID`.")],
    decision: Annotated[Decision, typer.Argument(metavar="DECISION", help="happened, run-again or bury.")],
    result: Annotated[str | None, typer.Option(help="For happened: what it returned, as JSON or @file.", show_default=False)] = None,
    url: Url = None,
) -> None:
    """Say what became of a step whose outcome is unknown. The message then goes on, or is buried."""
    if result is not None and decision is not Decision.HAPPENED:
        raise typer.BadParameter("--result is for `happened` only")
    returned: Any = None if result is None else msgspec.Raw(read_json(result, "--result"))
    talk(lambda client: client.decide(id, step, decision.value, result=returned), url=url)
    say(f"decided: step {step} of {id} {decision.value}")


def show_message(message: MessageJson) -> None:
    """Print one message for people.

    Args:
        message (MessageJson): As the server told it.
    """
    fields(
        [
            ("id", message["id"]),
            ("agent", message["agent"]),
            ("state", message["state"]),
            ("why", "being called off" if message["cancelling"] else why(message)),
            ("signal it", _to_signal(message)),
            ("decide", _to_decide(message)),
            *_of_error(message["error"]),
            ("queue", f"{message['queue']}, priority {message['priority']}"),
            (
                "attempt",
                f"{message['attempt']} of {message['attempts']}" + (f", {message['crashes']} crashes" if message["crashes"] else ""),
            ),
            ("put", message["created_at"]),
            ("started", message["started_at"]),
            ("ended", message["ended_at"]),
            ("tokens", tokens(message["usage"])),
            ("cost", money(message["usage"])),
            ("saved", _saved(message["replayed"])),
            ("sent by", message["parent"]),
            ("group", message["group"]),
            ("forked", f"from {message['forked_from']}, step {message['forked_step']}" if message["forked_from"] else None),
            ("imported", "yes" if message["imported"] else None),
            ("metadata", message["metadata"]),
            ("dedup key", None if (message["dedup_key"] or "").startswith(OWN_KEY) else message["dedup_key"]),
            ("body", _json(message["body"])),
            ("result", _json(message["result"])),
        ]
    )


def _to_signal(message: MessageJson) -> str | None:
    """How to tell it what it waits for."""
    names = [event.removeprefix("signal:") for event in (message["wait"] or {"events": []})["events"] if event.startswith("signal:")]
    return " or ".join(f"perdure signal {message['id']} {name} --data JSON" for name in names) or None


def _to_decide(message: MessageJson) -> str | None:
    """How to say what became of a call whose outcome nobody knows."""
    wait = message["wait"]
    if not wait or wait["why"] != "outcome-unknown":
        return None
    asked = f"`perdure messages steps {message['id']}` shows what was asked"
    return f"perdure messages decide {message['id']} {wait['step']} happened|run-again|bury   ({asked})"


def _of_error(error: ErrorJson | None) -> list[tuple[str, object]]:
    """What helps to find the cause: the line of code, the errors behind it, what to do."""
    if error is None:
        return []
    return [("where", error["evidence"].get("trace")), ("because", " < ".join(error["causes"])), ("hint", error["hint"])]


def _saved(replayed: UsageJson | None) -> str | None:
    """What replay did not have to pay for again."""
    if replayed is None:
        return None
    spared = f", {cost}" if (cost := money(replayed)) else ""
    return f"{tokens(replayed) or 'unknown tokens'} in {replayed['calls']} replayed answers{spared}"


def _json(value: Any) -> str:
    return "" if value is None else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


__all__ = ["Decision", "app", "error_line", "show_message"]
