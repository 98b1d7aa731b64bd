"""Logging in with a key, and out again."""

from __future__ import annotations

import hmac
import re
import secrets
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from perdure.errors.base import Forbidden, PerdureError, Unauthenticated, WrongMethod
from perdure.security.keys import digest
from perdure.server.answer import Answer
from perdure.server.core import Core
from perdure.server.dashboard.render import Renderer
from perdure.server.dashboard.session import COOKIE, LOGIN_COOKIE, SESSION_S, Sessions, cookie_header, cookie_in
from perdure.server.dashboard.visit import Visit, check_origin, read_form, see_other
from perdure.server.frame import trace_of
from perdure.server.refusals import status_of

_NONCE = re.compile(r"[A-Za-z0-9_\-]{22}")
_LOGIN_S = 3600
_FORM_BYTES = 16 * 1024

__all__ = ["Here", "Login", "leave"]


class Login:
    """`/login`: the one page that asks for no key, since it is where one is given.

    Args:
        core (Core): What all doors share.
        renderer (Renderer): Makes pages.
    """

    def __init__(self, core: Core, renderer: Renderer) -> None:
        self._core = core
        self._renderer = renderer
        self._sessions = Sessions(core.parts.cookie_secret)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Args:
            scope (Scope): As ASGI gives it.
            receive (Receive): As ASGI gives it.
            send (Send): As ASGI gives it.
        """
        trace = trace_of(scope)
        trace.route = "/login"
        headers = Headers(scope=scope)
        try:
            if scope["method"] == "POST":
                answer = await self._enter(scope, headers, receive)
            elif scope["method"] in ("GET", "HEAD"):
                answer = self._form(scope, headers, back=dict(parse_qsl(scope["query_string"].decode("latin-1")[:2000])).get("next", "/"))
            else:
                raise WrongMethod("this page can be read and sent, nothing else")
        except PerdureError as error:
            trace.error = error.code
            answer = self._form(scope, headers, back="/", error=error)
        await answer.send(receive, send)

    async def _enter(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        check_origin(headers)
        form = await read_form(headers, receive, limit=_FORM_BYTES)
        nonce = cookie_in(headers.get("cookie", ""), LOGIN_COOKIE)
        if not nonce or not hmac.compare_digest(form.get("csrf", "").encode(), self._sessions.login_token(nonce).encode()):
            raise Forbidden("this form is too old", hint="Paste the key again.")
        secret, back = form.get("key", "").strip(), form.get("next", "/")
        try:
            key = await self._core.gate.let_in(secret)
        except Unauthenticated as error:
            return self._form(scope, headers, back=back, error=error)
        trace_of(scope).key_id = key.id
        secure = scope.get("scheme") == "https"
        return see_other(
            back,
            cookie_header(COOKIE, self._sessions.begin(digest(secret), self._core.clock.now()), max_age_s=SESSION_S, secure=secure),
            cookie_header(LOGIN_COOKIE, "", max_age_s=0, secure=secure),
        )

    def _form(self, scope: Scope, headers: Headers, *, back: str, error: PerdureError | None = None) -> Answer:
        # The cookie that is there stays, so that two tabs can show the form.
        nonce = cookie_in(headers.get("cookie", ""), LOGIN_COOKIE)
        if not _NONCE.fullmatch(nonce):
            nonce = secrets.token_urlsafe(16)
        cookie = cookie_header(LOGIN_COOKIE, nonce, max_age_s=_LOGIN_S, secure=scope.get("scheme") == "https")
        status = 200 if error is None else status_of(error)
        return self._renderer.page(
            "login", status=status, headers=(cookie,), csrf=self._sessions.login_token(nonce), back=back[:2000], error=error
        )


class Here:
    """`/session`: tells the login page's script whether its visitor is logged in after all.

    A strict cookie is not sent when somebody follows a link from elsewhere, so they see the login page; a
    request of that page itself does send it, and the script goes on to where the link led. 204 if they
    are logged in, else 200.

    Args:
        core (Core): What all doors share.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._sessions = Sessions(core.parts.cookie_secret)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Args:
            scope (Scope): As ASGI gives it.
            receive (Receive): As ASGI gives it.
            send (Send): As ASGI gives it.
        """
        trace_of(scope).route = "/session"
        session = self._sessions.read(cookie_in(Headers(scope=scope).get("cookie", ""), COOKIE), self._core.clock.now())
        try:
            here = session is not None and await self._core.gate.by_digest(session.digest) is not None
        except PerdureError:
            here = False
        await Answer(204 if here else 200).send(receive, send)


async def leave(visit: Visit) -> Answer:
    """Log out.

    Args:
        visit (Visit): Who leaves.

    Returns:
        Answer: Back to the login page, the cookie taken back.
    """
    del visit
    return see_other("/login", cookie_header(COOKIE, "", max_age_s=0, secure=False))
