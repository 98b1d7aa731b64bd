"""All routes of the dashboard."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from perdure.server.answer import Answer
from perdure.server.core import Core
from perdure.server.dashboard import actions
from perdure.server.dashboard.cost import cost
from perdure.server.dashboard.live import live
from perdure.server.dashboard.login import Here, Login, leave
from perdure.server.dashboard.message import message
from perdure.server.dashboard.overview import overview
from perdure.server.dashboard.providers import providers
from perdure.server.dashboard.render import Renderer
from perdure.server.dashboard.schedules import pause_schedule, resume_schedule, run_schedule, schedules
from perdure.server.dashboard.visit import Page, Visited
from perdure.server.frame import trace_of

__all__ = ["page_routes"]

_PAGES: tuple[tuple[str, Visited, str], ...] = (
    ("/", overview, "messages:read"),
    ("/messages/{id}", message, "messages:read"),
    ("/schedules", schedules, "schedules:read"),
    ("/cost", cost, "usage:read"),
    ("/providers", providers, "queues:read"),
    ("/live", live, "messages:read"),
)
_ACTIONS: tuple[tuple[str, Visited, str], ...] = (
    ("/messages/{id}/cancel", actions.cancel, "messages:write"),
    ("/messages/{id}/signals", actions.signal, "messages:write"),
    ("/messages/{id}/revive", actions.revive, "dead-letters:write"),
    ("/messages/{id}/steps/{number}/decision", actions.decide, "steps:decide"),
    ("/queues/{name}/pause", actions.pause, "queues:write"),
    ("/queues/{name}/resume", actions.resume, "queues:write"),
    ("/schedules/{tenant}/{name}/run", run_schedule, "schedules:write"),
    ("/schedules/{tenant}/{name}/pause", pause_schedule, "schedules:write"),
    ("/schedules/{tenant}/{name}/resume", resume_schedule, "schedules:write"),
    ("/pause", actions.pause_all, "queues:write"),
    ("/resume", actions.resume_all, "queues:write"),
    ("/logout", leave, ""),
)


def page_routes(core: Core) -> Sequence[BaseRoute]:
    """List the dashboard's routes.

    Args:
        core (Core): What all doors share.

    Returns:
        Sequence[BaseRoute]: For the application.
    """
    renderer = Renderer()
    return [
        Route("/login", Login(core, renderer)),
        Route("/session", Here(core)),
        Route("/static/{name}", _Files(renderer)),
        *(Route(path, Page(core, renderer, handle, route=path, scope=scope)) for path, handle, scope in _PAGES),
        *(Route(path, Page(core, renderer, handle, route=path, scope=scope, method="POST")) for path, handle, scope in _ACTIONS),
    ]


class _Files:
    """The stylesheet, the script and the icon: part of the login page, so they ask for no key."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        trace_of(scope).route = "/static/{name}"
        found = self._renderer.file(scope["path_params"]["name"])
        await (found or Answer(404, b"not found", "text/plain; charset=utf-8")).send(receive, send)
