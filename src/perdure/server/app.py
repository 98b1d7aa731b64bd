"""The server, put together: the frame, the doors, the pages."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from perdure.errors.base import NotFound, PerdureError
from perdure.monitor.metrics import Metrics
from perdure.server import refusals
from perdure.server.answer import Answer
from perdure.server.api.doors import DOORS as API_DOORS
from perdure.server.core import Core
from perdure.server.dashboard.pages import page_routes
from perdure.server.door import Door
from perdure.server.entry import Doors, Nowhere, Refuse
from perdure.server.frame import Frame
from perdure.server.health import Health, Ready
from perdure.server.metrics import metrics_door
from perdure.server.once import Once
from perdure.server.openai import refusals as openai_refusals
from perdure.server.openai.advancing import Advancing
from perdure.server.openai.doors import DOORS as OPENAI_DOORS
from perdure.server.openai.later import nothing_here
from perdure.server.openai.lines import Lines
from perdure.server.openapi import openapi_door
from perdure.server.parts import ServerParts
from perdure.worker.calendar import Firing
from perdure.worker.duties import rounds

__all__ = ["ServerParts", "make_server"]


def make_server(parts: ServerParts) -> Starlette:
    """Put the server together.

    Args:
        parts (ServerParts): What it works with; opened and closed by whoever made them.

    Returns:
        Starlette: The application; `state.core` is what its doors share.
    """
    core, metrics, once = Core(parts), Metrics(), Once(parts.store.calls)
    ours = [*API_DOORS, metrics_door(metrics)]
    ours.append(openapi_door([*ours, *OPENAI_DOORS]))
    app = Starlette(
        routes=[
            Route("/healthz", Health()),
            Route("/readyz", Ready(core)),
            *_routes(core, OPENAI_DOORS, openai_refusals.refuse, once),
            *_routes(core, ours, _problem, once),
            Route("/v1/{rest:path}", Nowhere(core, openai_refusals.refuse, nothing_here)),
            Route("/api/{rest:path}", Nowhere(core, _problem, _nothing)),
            *page_routes(core),
        ],
        middleware=[Middleware(Frame)],
        lifespan=_living(core, metrics, once),
    )
    app.router.redirect_slashes = False
    app.router.default = Nowhere(core, _problem, _nothing)
    app.state.core = core
    return app


def _routes(core: Core, doors: Sequence[Door], refuse: Refuse, once: Once) -> list[BaseRoute]:
    by_path: dict[str, list[Door]] = defaultdict(list)
    for door in doors:
        by_path[door.path].append(door)
    named_first = sorted(by_path.items(), key=lambda entry: "{" in entry[0])  # `/messages/import` is no `/messages/{id}`
    return [Route(path, Doors(core, there, refuse, once)) for path, there in named_first]


def _living(core: Core, metrics: Metrics, once: Once) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        metrics.start()
        chores = {"firing schedules": Firing(core.store.schedules, core.clock).once, "batches": _batches(core).once}
        doing = {asyncio.create_task(rounds(what, once)) for what, once in chores.items()}
        try:
            yield
        finally:
            metrics.stop()
            for task in doing:
                task.cancel()
            await asyncio.wait(doing)
            await core.feed.close()
            await once.close()
            await core.lanes.close_all()

    return lifespan


def _batches(core: Core) -> Advancing:
    limits = core.settings
    lines = Lines(
        core.store.files, core.models, core.parts.queue, max_line_bytes=limits.max_body_bytes, max_depth=limits.max_depth
    )  # fmt: skip
    return Advancing(core, lines)


def _problem(error: PerdureError, request_id: str, now: float) -> Answer:
    return refusals.problem(error, request_id=request_id, now=now)


def _nothing(path: str) -> PerdureError:
    return NotFound(f"there is nothing at {path[:200]!r}", hint="All doors are listed at /api/v1/openapi.json.")
