"""`perdure resume`: lift a pause."""

from __future__ import annotations

import typer

from perdure.cli.options import Url, examples, new_app
from perdure.cli.pause import All, Queue, chosen
from perdure.cli.talk import talk
from perdure.cli.words import say

app: typer.Typer = new_app("Lift a pause.")


@app.command(epilog=examples("perdure resume mail", "perdure resume --all"))
def resume(queue: Queue = None, everything: All = False, url: Url = None) -> None:
    """Lift a pause. Lifting the pause of everything leaves single queues paused."""
    name = chosen(queue, everything=everything)
    talk(lambda client: client.resume(name), url=url)
    say(f"resumed {'everything' if name is None else name}")
