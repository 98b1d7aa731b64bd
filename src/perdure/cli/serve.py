"""`perdure serve`: the server alone."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.ending import Ending, run_until_told
from perdure.cli.given import load_settings
from perdure.cli.listening import listening
from perdure.cli.log import begin_log
from perdure.cli.options import Data, Env, examples, new_app
from perdure.cli.serving import serve_until
from perdure.config.settings import Settings

app: typer.Typer = new_app("The server alone; `perdure worker` takes the messages.")


@app.command(epilog=examples("perdure serve --host 0.0.0.0 --port 8321"))
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Where to listen.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 for any.", show_default="8321")] = None,
    data: Data = None,
    env: Env = "",
) -> None:
    """Run the server alone; `perdure worker` takes the messages."""
    settings = load_settings(env, server__host=host, server__port=port, data=data)
    begin_log(settings)
    raise typer.Exit(run_until_told(_serve(settings)))


async def _serve(settings: Settings) -> int:
    ending = Ending(settings.worker.grace_s)
    with listening(settings.server.host, settings.server.port) as taken:
        ending.listen()
        await serve_until(ending.stop, settings, taken)
    return 0
