"""`perdure pause`: let nothing of a queue start, or nothing at all."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.options import Url, new_app
from perdure.cli.talk import talk
from perdure.cli.words import say

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


@app.command(epilog="Examples:  perdure pause mail  |  perdure pause --all")
def pause(queue: Queue = None, everything: All = False, url: Url = None) -> None:
    """Let nothing of a queue start, or nothing at all. What runs goes on."""
    name = chosen(queue, everything=everything)
    talk(lambda client: client.pause(name), url=url)
    say(f"paused {'everything' if name is None else name}; `perdure resume {'--all' if name is None else name}` lifts it")
