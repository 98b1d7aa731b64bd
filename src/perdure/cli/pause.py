"""`perdure pause`: let nothing of a queue start, or nothing at all."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from perdure.cli.options import Url, examples, new_app
from perdure.cli.talk import talk
from perdure.cli.words import clean, say
from perdure.client.aio import AsyncClient
from perdure.client.answers import QueueJson
from perdure.errors.base import Forbidden

app: typer.Typer = new_app("Let nothing of a queue start, or nothing at all. What runs goes on.")

Queue = Annotated[str | None, typer.Argument(help="The queue.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Everything.")]


def chosen(queue: str | None, *, everything: bool) -> str | None:
    """Make sure that exactly one of the two was said.

    Args:
        queue (str | None): A queue.
        everything (bool): Or all of them.

    Returns:
        str | None: The queue; None for everything.

    Raises:
        typer.BadParameter: Neither or both.
    """
    if everything == (queue is not None):
        raise typer.BadParameter("name a queue, or say --all")
    return queue


@app.command(epilog=examples("perdure pause mail --why 'the bill is too high'", "perdure pause --all"))
def pause(
    queue: Queue = None,
    everything: All = False,
    why: Annotated[str | None, typer.Option(help="What to tell whoever asks.", show_default=False)] = None,
    url: Url = None,
) -> None:
    """Let nothing of a queue start, or nothing at all. What runs goes on."""
    name = chosen(queue, everything=everything)
    queues = talk(lambda client: _pause(client, name, why), url=url)
    say(f"paused {'everything' if name is None else name}; `perdure resume {'--all' if name is None else name}` lifts it")
    if name is not None and queues is not None:
        _say_if_new(name, [queue["name"] for queue in queues if any({**queue["counts"], **queue["totals"]}.values())])


async def _pause(client: AsyncClient, name: str | None, why: str | None) -> list[QueueJson] | None:
    await client.pause(name, why=why)
    try:
        return await client.queues()
    except Forbidden:  # the key may pause and not look
        return None


def _say_if_new(name: str, used: list[str]) -> None:
    if name in used:
        return
    near = difflib.get_close_matches(name, used, n=1)
    say(f"no message was ever in a queue {clean(name)}")
    if near:
        say(f"hint: did you mean {clean(near[0])!r}? Then `perdure resume {clean(name)}` takes this back.")
