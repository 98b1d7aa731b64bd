"""`perdure batch`: a file of requests in, a file of answers out, every line a durable message.

Each line's dedup key is made of its content, so running the same file again attaches to the messages
that are there instead of paying for them twice. That is also how to go on after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from perdure.cli.exits import Exit
from perdure.cli.lines import Line, answer_line, dedup_key, read_lines
from perdure.cli.options import Url, new_app
from perdure.cli.progress import HowFar
from perdure.cli.read import read_bytes
from perdure.cli.talk import talk
from perdure.cli.words import say
from perdure.client.aio import AsyncClient, Sent
from perdure.client.new import CHUNK_MESSAGES, NewMessageJson

LARGEST_BYTES = 200 * 1024 * 1024
RIDE_OUT_S = 60.0

app: typer.Typer = new_app("Put a file of OpenAI batch lines, wait for the answers, and write them to a file.")


@app.command(
    epilog="""\b
Each line: {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": …, "messages": […]}}
Ctrl-C leaves the messages running; the same command again goes on where it was.
\b
Examples:
  perdure batch tickets.jsonl --out answers.jsonl
  perdure batch tickets.jsonl --priority 9 --no-wait
  perdure batch triage.jsonl --agent triage --out teams.jsonl
"""
)
def batch(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines; `-` for standard input.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Where the answers go.", show_default="stdout")] = None,
    agent: Annotated[str, typer.Option(help="Who is to do it; each line's body is what it is given.")] = "chat",
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="0 is the most urgent.", show_default="5")] = None,
    queue: Annotated[str | None, typer.Option(help="Where they wait.", show_default="the agent's")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the answers.")] = True,
    round: Annotated[str, typer.Option(help="Another word makes new messages of the same lines.", show_default=False)] = "",
    url: Url = None,
) -> None:
    """Put a file of OpenAI batch lines, wait for the answers, and write them as OpenAI batch output."""
    content = read_bytes(file if file == "-" else f"@{file}", "the batch file", largest_bytes=LARGEST_BYTES)
    lines = read_lines(content, agent=agent)
    messages = [_message(line, agent, priority, queue, round) for line in lines]
    if out and wait:
        _check_room(out)  # before anything is put, and perhaps paid
    try:
        failed = talk(
            lambda client: _carry_out(client, lines, messages, out if wait else None, wait=wait), url=url, retry_for_s=RIDE_OUT_S, many=True
        )
    except KeyboardInterrupt:
        say("interrupted; what was put goes on. The same command again attaches to it.")
        raise typer.Exit(Exit.INTERRUPTED) from None
    if failed:
        say(f"{failed} of {len(lines)} failed; `perdure dead list` says why, `perdure dead revive ID` tries again")
        raise typer.Exit(Exit.FAILURE)


def _check_room(out: Path) -> None:
    if out.is_dir() or not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise typer.BadParameter(f"no file can be written at {str(out)!r}", param_hint="--out")


def _message(line: Line, agent: str, priority: int | None, queue: str | None, round: str) -> NewMessageJson:
    message: NewMessageJson = {
        "agent": agent,
        "body": msgspec.Raw(line.body),
        "dedup_key": dedup_key(line, agent=agent, round=round),
        "metadata": {"custom_id": line.custom_id},
    }
    if priority is not None:
        message["priority"] = priority
    if queue is not None:
        message["queue"] = queue
    return message


async def _carry_out(
    client: AsyncClient, lines: Sequence[Line], messages: Sequence[NewMessageJson], out: Path | None, *, wait: bool
) -> int:
    before = (await client.changes())["last"]
    sent = await _put(client, messages)
    known = sum(one.duplicate for one in sent)
    say(f"{len(sent)} messages are put" + (f", {known} of them earlier" if known else ""))
    if not wait:
        say("the same command with --wait collects the answers")
        return 0
    partly = out.with_name(f"{out.name}.part") if out else None
    with partly.open("wb") if partly else os.fdopen(os.dup(sys.stdout.fileno()), "wb") as file:
        failed = await _collect(client, lines, sent, before, file)
    if out and partly:
        partly.replace(out)
        say(f"{len(lines) - failed} answers in {out}")
    return failed


async def _put(client: AsyncClient, messages: Sequence[NewMessageJson]) -> list[Sent]:
    sent: list[Sent] = []
    with HowFar("putting", len(messages)) as how_far:
        for start in range(0, len(messages), CHUNK_MESSAGES):
            chunk = messages[start : start + CHUNK_MESSAGES]
            sent += await client.send_many(chunk)
            how_far.count(len(chunk))
    return sent


async def _collect(client: AsyncClient, lines: Sequence[Line], sent: Sequence[Sent], before: int, file: BinaryIO) -> int:
    custom_ids = {one.id: line.custom_id for one, line in zip(sent, lines, strict=True)}
    with HowFar("answered", len(lines)) as how_far:
        async for message in client.as_ended(sent, after=before):
            file.write(answer_line(custom_ids[message["id"]], message))
            file.flush()
            how_far.count(failed=message["state"] != "done")
        return how_far.failed
