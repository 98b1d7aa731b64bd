"""A server under way: store, first key, models and doors, until it is told to end. `up` adds workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import uvicorn

from perdure.app import apply_budgets, apply_limits, build_circuit, build_models, build_prices, errors_kept, open_store
from perdure.cli.first_key import FirstKey, ensure_first_key
from perdure.cli.listening import address_written, another_server, url_of
from perdure.cli.private_files import data_folder_for, read_or_make
from perdure.cli.words import clean, say
from perdure.config.settings import Settings
from perdure.errors.base import PerdureError
from perdure.messages.registry import WorkerRegistry
from perdure.messages.spending import Budget, BudgetScope
from perdure.server.app import make_server
from perdure.server.listen import listener
from perdure.server.parts import ServerParts

START_LIMIT_S = 30.0
CLOSE_LIMIT_S = 15.0
_BY = {BudgetScope.INSTALLATION: "in all", BudgetScope.TENANT: "for each tenant", BudgetScope.KEY: "for each key"}

__all__ = ["serve_until"]


async def serve_until(
    stop: asyncio.Event, settings: Settings, taken: socket.socket, *, beside: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Serve until told to end. What runs beside ends first, so that its last words are still answered.

    Args:
        stop (asyncio.Event): When to end.
        settings (Settings): All of them.
        taken (socket.socket): Where to listen.
        beside (Callable[[], Awaitable[None]] | None): What else runs, such as worker processes; ends by itself after `stop`.

    Raises:
        PerdureError: The server ended by itself, or what ran beside it did with an error.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    data = data_folder_for(settings.data)
    url = url_of(taken)
    if (other := await another_server(data)) is not None:
        say(f"another server, at {clean(other)}, serves the same data folder {str(data)!r}; this one goes on beside it")
    async with open_store(settings) as store, errors_kept(settings, store):
        await apply_limits(settings, store)
        budgets = await apply_budgets(settings, store)
        key = await ensure_first_key(store.keys, data)
        models = build_models(settings)
        parts = ServerParts(
            store=store,
            models=models,
            prices=build_prices(settings),
            settings=settings.server,
            queue=settings.queue,
            circuit=build_circuit(settings),
            cookie_secret=read_or_make(data / "run" / "cookie", lambda: secrets.token_bytes(32)),
            looks_every_s=300.0 if settings.health.every_s == "off" else settings.health.every_s,
            needs_worker=beside is not None,
        )
        try:
            server = listener(make_server(parts), host=settings.server.host, port=settings.server.port)
            async with _doors_open(server, taken) as doors:
                with address_written(data, url):
                    saying = asyncio.create_task(_announce(url, key, store.workers if beside else None, budgets))
                    try:
                        await _until_one_ends(stop, doors, beside)
                    finally:
                        saying.cancel()
                        await asyncio.wait({saying})
        finally:
            await models.aclose()


@asynccontextmanager
async def _doors_open(server: uvicorn.Server, taken: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
    doors = asyncio.create_task(server.serve(sockets=[taken]))
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while not server.started and not doors.done():  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        yield doors
    finally:
        server.should_exit = True
        await asyncio.wait({doors}, timeout=CLOSE_LIMIT_S)
        doors.cancel()


async def _until_one_ends(stop: asyncio.Event, doors: asyncio.Task[None], beside: Callable[[], Awaitable[None]] | None) -> None:
    told = asyncio.create_task(_wait(stop))
    others = asyncio.ensure_future(beside()) if beside else told
    try:
        await asyncio.wait({told, others, doors}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await others
        if doors.done():
            doors.result()
            raise PerdureError("the server ended by itself", hint="What stands above says why.")
    finally:
        told.cancel()
        if not others.done():
            others.cancel()
            await asyncio.wait({others}, timeout=CLOSE_LIMIT_S)


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


async def _announce(url: str, key: FirstKey, workers: WorkerRegistry | None, budgets: Sequence[Budget]) -> None:
    """Say where everything is, once it can be used."""
    if key.made and sys.stderr.isatty():
        say(f"\nyour key, shown this once:\n\n  {key.made}\n")
    if workers is not None and not await _first_worker(workers):
        say(f"no worker has come up within {START_LIMIT_S:g} s; the server takes messages meanwhile")
    if budgets:
        sums = ", ".join(f"${one.daily_usd:g} a day {_BY[one.scope]}" for one in budgets if one.daily_usd is not None)
        say(f"spending has a brake: at most {sums} (UTC); `perdure budgets` shows and changes it")
    say(f"Perdure is at {url}; the key is in {key.where}")
    say('try:  perdure send chat --prompt "Say hello." --wait')
    say("      perdure messages list")
    say("      perdure dead list")


async def _first_worker(workers: WorkerRegistry) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_LIMIT_S):
            while not any(worker.alive for worker in await workers.workers()):  # noqa: ASYNC110 - a worker of another process tells nobody here
                await asyncio.sleep(0.1)
            return True
    return False
