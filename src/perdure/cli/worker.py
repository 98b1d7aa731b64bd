"""`perdure worker`: a process that takes messages."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from perdure.app import apply_budgets, apply_limits, build_models, build_worker, errors_kept, load_app, open_store
from perdure.cli.ending import Ending, run_until_told, somebody_goes_on
from perdure.cli.exits import Exit
from perdure.cli.given import load_settings
from perdure.cli.log import begin_log
from perdure.cli.options import AppModule, Data, Env, new_app
from perdure.cli.private_files import data_folder_for
from perdure.cli.words import say
from perdure.config.settings import Settings
from perdure.resources.garbage import collect_seldom
from perdure.worker.end import WorkerEnd
from perdure.worker.lifeline import VARIABLE, watch_lifeline

_BROKEN = 70  # as sysexits has it for a fault inside

app: typer.Typer = new_app("A worker process alone: takes messages and has agents work on them.")


@app.command(
    epilog="""\b
Ends with 0 when told to, 75 to be started afresh (a thread hung), 76 when it was declared dead, 70 when an agent broke it.
\b
Examples:
  perdure worker --app my_module:app --slots 50
  perdure worker --queues mail,urgent
"""
)
def worker(
    *,
    app_module: AppModule = None,
    slots: Annotated[int | None, typer.Option(min=1, max=1000, help="Messages at once.", show_default="20")] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=200, help="Sync agents at once.", show_default="8")] = None,
    queues: Annotated[str | None, typer.Option(help="Serve these only, with commas.", show_default="all")] = None,
    quarantine: Annotated[bool, typer.Option("--quarantine", help="Only what took its process down twice, one at a time.")] = False,
    data: Data = None,
    env: Env = "",
) -> None:
    """Take messages and have agents work on them, until told to end."""
    served = None if queues is None else [name.strip() for name in queues.split(",") if name.strip()]
    settings = load_settings(env, app__module=app_module, worker__slots=slots, worker__threads=threads, worker__queues=served, data=data)
    begin_log(settings)
    raise typer.Exit(run_until_told(_to_the_end(settings, quarantine=quarantine), broken=_BROKEN))


async def _to_the_end(settings: Settings, *, quarantine: bool) -> int:
    end: int = Exit.INTERRUPTED
    try:
        end = await _work(settings, quarantine=quarantine)
    finally:
        if end == WorkerEnd.RECYCLE.exit_code or await somebody_goes_on():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end)  # a thread or an agent does not end: an orderly exit would wait for it
    return end


async def _work(settings: Settings, *, quarantine: bool) -> int:
    supervised = VARIABLE in os.environ
    ending = Ending(settings.worker.grace_s, quiet=supervised)
    ending.listen()
    watch_lifeline(ending.stop)
    agents = load_app(settings.app.module, settings.agents)
    data_folder_for(settings.data)
    models = build_models(settings)
    try:
        async with open_store(settings) as store, errors_kept(settings, store):
            await apply_limits(settings, store)
            await apply_budgets(settings, store)
            isolate = None if quarantine else [sys.executable, "-m", "perdure", *sys.argv[1:], "--quarantine"]
            here = build_worker(settings, store, models, agents, quarantine=quarantine, isolate=isolate)
            collect_seldom()
            if not supervised:
                say(f"working for {', '.join(sorted(agents.agents))} in {settings.data}; Ctrl-C ends in order")
            return (await here.run(ending.stop)).exit_code
    finally:
        await models.aclose()
