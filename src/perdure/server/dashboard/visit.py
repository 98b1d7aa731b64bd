"""A visit to a page: who it is, what their form says, and what they get when something is wrong."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from perdure.errors.base import Forbidden, InvalidInput, Malformed, PerdureError, Unauthenticated, WrongMethod
from perdure.errors.handler import handle
from perdure.security.access import OPERATOR, allows, tenant_of
from perdure.security.audit import Actor
from perdure.security.keys import Key
from perdure.server.answer import Answer, Streamed
from perdure.server.auth import check_access
from perdure.server.body import read_body
from perdure.server.core import Core
from perdure.server.dashboard.render import Renderer
from perdure.server.dashboard.session import COOKIE, Session, Sessions, cookie_in
from perdure.server.frame import trace_of
from perdure.server.refusals import headers_for, status_of

__all__ = ["Page", "Visit", "Visited", "check_origin", "read_form", "see_other"]


@dataclass
class Visit:
    """One request of somebody logged in."""

    core: Core
    renderer: Renderer
    session: Session
    key: Key
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    receive: Receive
    address: str
    """Path and query, to come back to."""
    request_id: str = ""

    @property
    def actor(self) -> Actor:
        """Who acts, for the audit log."""
        return Actor(self.key.id, self.request_id or None)

    @property
    def tenant(self) -> str | None:
        """Whose messages this visitor sees; None for all."""
        return tenant_of(self.key.tenant)

    @property
    def operator(self) -> bool:
        """Whether they may see and do what concerns all tenants."""
        return self.key.tenant == OPERATOR

    def may(self, scope: str) -> bool:
        """Tell whether they may do something; what they may not is not even shown.

        Args:
            scope (str): `resource:action`.

        Returns:
            bool: True if so.
        """
        concerns_all = scope.partition(":")[0] in ("queues", "workers", "metrics")
        return allows(self.key.scopes, scope) and (self.operator or not concerns_all)


Visited: TypeAlias = Callable[[Visit], Awaitable[Answer | Streamed]]


class Page:
    """One page, or one action of a page, as an ASGI application.

    Args:
        core (Core): What all doors share.
        renderer (Renderer): Makes pages.
        handle (Visited): Answers.
        route (str): The path as the routes have it.
        scope (str): What a key needs.
        method (str): GET for pages, POST for actions.
    """

    def __init__(self, core: Core, renderer: Renderer, handle: Visited, *, route: str, scope: str, method: str = "GET") -> None:
        self._core = core
        self._renderer = renderer
        self._handle = handle
        self._route = route
        self._scope = scope
        self._method = method
        self._sessions = Sessions(core.parts.cookie_secret)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Args:
            scope (Scope): As ASGI gives it.
            receive (Receive): As ASGI gives it.
            send (Send): As ASGI gives it.
        """
        trace = trace_of(scope)
        trace.route = self._route
        try:
            answer = await self._serve(scope, receive)
        except Unauthenticated as error:
            trace.error = error.code
            answer = _to_login(scope)
        except PerdureError as error:
            trace.error = error.code
            answer = self._sorry(error, trace.request_id)
        except Exception as error:
            handle(error, where="server", what=f"request {trace.request_id} failed on {trace.route}", broke=True)
            trace.error = PerdureError.code
            answer = self._sorry(PerdureError("something went wrong inside", hint="The log has it under this number."), trace.request_id)
        await answer.send(receive, send)

    async def _serve(self, scope: Scope, receive: Receive) -> Answer | Streamed:
        headers = Headers(scope=scope)
        session = self._sessions.read(cookie_in(headers.get("cookie", ""), COOKIE), self._core.clock.now())
        if session is None:
            raise Unauthenticated("nobody is logged in")
        key = await self._core.gate.by_digest(session.digest)
        trace_of(scope).key_id = key.id
        if scope["method"] not in ((self._method, "HEAD") if self._method == "GET" else (self._method,)):
            raise WrongMethod(f"{scope['method']} is not possible here")
        form: Mapping[str, str] = {}
        if self._method == "POST":
            check_origin(headers)
            form = await read_form(headers, receive, limit=self._core.settings.max_body_bytes)
            if not hmac.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
                raise Forbidden("this form was not made for this session", hint="Go back, reload the page and try again.")
        else:
            await read_body(headers, receive, limit=1024)
        check_access(key, scope=self._scope or None, operator=self._scope.startswith("queues:"))
        request_id = trace_of(scope).request_id
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")[:2000], max_num_fields=20))
        return await self._handle(
            Visit(self._core, self._renderer, session, key, scope.get("path_params", {}), query, form, receive, _address(scope), request_id)
        )

    def _sorry(self, error: PerdureError, request_id: str) -> Answer:
        status = status_of(error)
        headers = headers_for(error, status, self._core.clock.now())
        return self._renderer.page("sorry", status=status, headers=headers, error=error, status_code=status, request_id=request_id)


def check_origin(headers: Headers) -> None:
    """Make sure that a form was sent by one of our own pages.

    Args:
        headers (Headers): Of the request.

    Raises:
        Forbidden: A browser says that it was not.
    """
    # Browsers that say where a request comes from are believed; only for the others is the origin compared,
    # since behind a proxy our own name may be another than the browser's.
    fetched = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    foreign = fetched not in ("same-origin", "none") if fetched else origin is not None and urlsplit(origin).netloc != headers.get("host")
    if foreign:
        raise Forbidden("this form was sent from another site")


async def read_form(headers: Headers, receive: Receive, *, limit: int) -> dict[str, str]:
    """Read a form.

    Args:
        headers (Headers): Of the request.
        receive (Receive): As ASGI gives it.
        limit (int): The most bytes.

    Returns:
        dict[str, str]: Field to value.

    Raises:
        Malformed: It is no form.
        InputTooLarge: It is too large.
    """
    body = await read_body(headers, receive, limit=limit)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Malformed("this is no form")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict"))
    except ValueError as error:
        raise InvalidInput("the form cannot be read") from error


def see_other(address: str, *headers: tuple[str, str]) -> Answer:
    """Send a browser on.

    Args:
        address (str): A path of ours; anything else leads to `/`.
        *headers (tuple[str, str]): Further headers.

    Returns:
        Answer: 303.
    """
    ours = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isascii() and address.isprintable()
    return Answer(303, headers=(("location", address if ours else "/"), *headers))


def _to_login(scope: Scope) -> Answer:
    headers = Headers(scope=scope)
    if scope["method"] != "GET" or headers.get("x-fragment") or "text/event-stream" in headers.get("accept", ""):
        return Answer(401, b"log in first", "text/plain; charset=utf-8")
    back = _address(scope)
    return see_other("/login" if back == "/" else f"/login?next={quote(back, safe='')}")


def _address(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return quote(scope["path"]) + (f"?{quote(query, safe='=&+%.:_-')}" if query else "")
