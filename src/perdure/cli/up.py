"""`perdure up`: one command, a server process that keeps worker processes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from perdure.cli.ending import Ending, run_until_told
from perdure.cli.given import load_settings
from perdure.cli.listening import listening
from perdure.cli.log import begin_log
from perdure.cli.options import AppModule, Data, Env, new_app
from perdure.cli.serving import serve_until
from perdure.config.settings import Settings
from perdure.worker.supervisor import Supervisor

app: typer.Typer = new_app("A server and its worker processes, in one command.")


@app.command(
    epilog="""\b
Ctrl-C lets running messages end in order; Ctrl-C again ends at once.
The first start makes a key and puts it into the data folder.
\b
Examples:
  perdure up --app my_module:app
  perdure up --workers 4 --port 9000 --data /var/lib/perdure
"""
)
def up(
    *,
    app_module: AppModule = None,
    host: Annotated[str | None, typer.Option(help="Where to listen.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 for any.", show_default="8321")] = None,
    workers: Annotated[int | None, typer.Option(min=0, max=64, help="How many worker processes.", show_default="1")] = None,
    data: Data = None,
    env: Env = "",
) -> None:
    """Run a server with its dashboard, and its worker processes."""
    settings = load_settings(env, app__module=app_module, server__host=host, server__port=port, worker__processes=workers, data=data)
    begin_log(settings)
    raise typer.Exit(run_until_told(_up(settings, env)))


async def _up(settings: Settings, env: str) -> int:
    ending = Ending(settings.worker.grace_s)
    command = worker_command(settings, env)
    crew = Supervisor(command, processes=settings.worker.processes, grace_s=settings.worker.grace_s)
    with listening(settings.server.host, settings.server.port) as taken:
        ending.listen()
        await serve_until(ending.stop, settings, taken, beside=(lambda: crew.run(ending.stop)) if settings.worker.processes else None)
    return 0


def worker_command(settings: Settings, env: str) -> list[str]:
    """Say what starts a worker process with the same settings.

    Args:
        settings (Settings): Those in force here; what stands in files and variables, the process reads itself.
        env (str): Which `perdure.<env>.toml`.

    Returns:
        list[str]: A command.
    """
    command = [sys.executable, "-m", "perdure", "worker", "--data", str(settings.data)]
    if env:
        command += ["--env", env]
    if settings.app.module:
        command += ["--app", settings.app.module]
    return command
