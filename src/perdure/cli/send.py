"""`perdure send`: put one message, and wait for its result if asked to."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from perdure.cli.exits import Exit
from perdure.cli.options import AsJson, Url, new_app
from perdure.cli.read import check_json, read_bytes
from perdure.cli.rows import tokens, why
from perdure.cli.talk import talk
from perdure.cli.words import clean, json_text, print_json, say
from perdure.client.aio import AsyncClient, Sent
from perdure.client.answers import MessageJson
from perdure.client.new import PutOptions

RIDE_OUT_S = 60.0
"""A server's restart is waited for so long."""

app: typer.Typer = new_app("Put one message.")


@app.command(
    epilog="""\b
Examples:
  perdure send chat --prompt "Why is the sky blue?" --wait
  perdure send triage '{"ticket": "I was charged twice"}' --priority 0
  perdure send triage @ticket.json --dedup-key ticket-17
  cat ticket.json | perdure send triage - --wait --json
"""
)
def send(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Who is to do it; `chat` is built in.")],
    body: Annotated[str | None, typer.Argument(metavar="BODY|-|@FILE", help="JSON, `-` for stdin, or @file.", show_default=False)] = None,
    *,
    prompt: Annotated[str | None, typer.Option(help="For `chat`: this text as the user's message.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="With --prompt: which model.", show_default=False)] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end and print the result.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="With --wait: seconds; the message goes on.", show_default=False)] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="0 is the most urgent.", show_default="5")] = None,
    queue: Annotated[str | None, typer.Option(help="Where it waits.", show_default="the agent's")] = None,
    delay: Annotated[float | None, typer.Option(min=0, help="Seconds before it may start.", show_default=False)] = None,
    dedup_key: Annotated[str | None, typer.Option(help="The same key again brings the same message.", show_default=False)] = None,
    attempts: Annotated[int | None, typer.Option(min=1, max=100, help="How often to try.", show_default=False)] = None,
    timeout_s: Annotated[
        float | None, typer.Option("--attempt-timeout", min=0, help="Seconds for one attempt.", show_default=False)
    ] = None,
    session: Annotated[str | None, typer.Option(help="Its messages run one at a time, in order.", show_default=False)] = None,
    key: Annotated[str | None, typer.Option(help="For limits of keys.", show_default=False)] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose it is; for operators.", show_default=False)] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Put one message; its id goes to stdout, or with --wait its result."""
    content = _content(agent, body, prompt, model)
    said = {
        "priority": priority,
        "queue": queue,
        "delay_s": delay,
        "dedup_key": dedup_key,
        "attempts": attempts,
        "timeout_s": timeout_s,
        "session": session,
        "key": key,
        "tenant": tenant,
    }
    options: PutOptions = {name: value for name, value in said.items() if value is not None}  # type: ignore[assignment]

    async def conversation(client: AsyncClient) -> MessageJson | Sent:
        sent = await client.send(agent, content, **options)
        if not wait:
            return sent
        say(f"{sent.id} is put; waiting for its end (Ctrl-C leaves it running)")
        return await _end_of(client, sent.id, timeout)

    _show(talk(conversation, url=url, retry_for_s=RIDE_OUT_S if wait else 2.0), as_json=as_json)


def _content(agent: str, body: str | None, prompt: str | None, model: str | None) -> Any:
    if prompt is not None:
        if body is not None or agent != "chat":
            raise typer.BadParameter("--prompt is for the agent `chat`, and without a BODY")
        return {**({"model": model} if model else {}), "messages": [{"role": "user", "content": prompt}]}
    if model is not None:
        raise typer.BadParameter("--model goes with --prompt; a BODY names its own model")
    if body is None:
        raise typer.BadParameter("say the BODY as JSON, `-` for stdin, @file for a file" + (", or --prompt TEXT" * (agent == "chat")))
    content = read_bytes(body, "the body")
    check_json(content, "the body")
    return msgspec.Raw(content)


async def _end_of(client: AsyncClient, id: str, timeout: float | None) -> MessageJson:
    try:
        return await client.ended(id, timeout_s=timeout)
    except TimeoutError:
        return await client.message(id)  # shown as it is now; it goes on


def _show(put: MessageJson | Sent, *, as_json: bool) -> None:
    if isinstance(put, Sent):
        if put.duplicate:
            say("that key had brought this message before; nothing new was put")
        print_json({"object": "receipt", "id": put.id, "duplicate": put.duplicate}) if as_json else typer.echo(put.id)
        return
    if as_json:
        print_json(put)
    elif put["state"] == "done":
        typer.echo(clean(_words(put)))
        used = tokens(put["usage"])
        say(f"done, attempt {put['attempt']} of {put['attempts']}{', ' + used if used else ''}")
    else:
        say(f"{put['id']} is {put['state']}{': ' + clean(why(put)) if why(put) else ''}")
    if put["state"] != "done":
        raise typer.Exit(Exit.FAILURE)


def _words(message: MessageJson) -> str:
    """The text of a chat's answer; anything else as JSON."""
    result = message["result"]
    if message["agent"] == "chat" and isinstance(result, dict):
        choices = result.get("choices") or [{}]
        text = (choices[0].get("message") or {}).get("content")
        if text:
            return str(text)
    return json_text(result)
