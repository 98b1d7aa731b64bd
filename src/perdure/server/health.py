"""Is it alive, is it ready. The only doors beside the login page that ask for no key."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.types import Receive, Scope, Send

from perdure.errors.base import StoreError
from perdure.server.answer import Answer, json_answer
from perdure.server.core import Core
from perdure.server.frame import trace_of

_PATIENCE_S = 5.0

__all__ = ["Health", "HealthJson", "Ready"]


class HealthJson(msgspec.Struct, kw_only=True):
    """How it is."""

    status: str
    waiting_for: str | None = None


class Health:
    """`/healthz`: this process answers. Says nothing of the store, so that nobody restarts us for its sake."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Args:
            scope (Scope): As ASGI gives it.
            receive (Receive): As ASGI gives it.
            send (Send): As ASGI gives it.
        """
        trace_of(scope).route = "/healthz"
        await _only_get(scope, json_answer(HealthJson(status="ok"))).send(receive, send)


class Ready:
    """`/readyz`: the store answers, and somebody works here where that is asked for.

    Args:
        core (Core): What all doors share.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Args:
            scope (Scope): As ASGI gives it.
            receive (Receive): As ASGI gives it.
            send (Send): As ASGI gives it.
        """
        trace_of(scope).route = "/readyz"
        missing = await self._missing()
        if missing is None:
            answer = json_answer(HealthJson(status="ready"))
        else:
            answer = json_answer(HealthJson(status="not-ready", waiting_for=missing), 503, headers=(("retry-after", "1"),))
        await _only_get(scope, answer).send(receive, send)

    async def _missing(self) -> str | None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._core.store.check()
                if self._core.parts.needs_worker and not any(worker.alive for worker in await self._core.store.workers.workers()):
                    return "the first worker"
        except (StoreError, TimeoutError):
            return "the store"
        return None


def _only_get(scope: Scope, answer: Answer) -> Answer:
    return answer if scope["method"] in ("GET", "HEAD") else Answer(405, headers=(("allow", "GET, HEAD"),))
