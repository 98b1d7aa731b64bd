"""From an open socket to a door's handler and back: who, may they, what do they say, what is answered.

Whatever a handler raises becomes an answer here, in the shape of the door: a problem on `/api/v1`,
OpenAI's error on `/v1`. What is not ours is logged, and its caller learns the number it is logged under.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from perdure.clock import Moment
from perdure.errors.base import PerdureError, WrongMethod
from perdure.errors.handler import handle
from perdure.server.answer import Answer, Streamed
from perdure.server.auth import bearer_of, check_access
from perdure.server.body import check_media_type, parse_json, read_body
from perdure.server.core import Core
from perdure.server.door import Call, Door
from perdure.server.frame import trace_of
from perdure.server.once import HEADER, Once
from perdure.server.reading import read_query, shaped

Refuse: TypeAlias = Callable[[PerdureError, str, Moment], Answer]


__all__ = ["Doors", "Nowhere", "Refuse"]


class Doors:
    """All doors of one path, as an ASGI application.

    Args:
        core (Core): What all doors share.
        doors (Sequence[Door]): One for each verb.
        refuse (Refuse): Makes an answer of an error, given the request's id and the time.
        once (Once): Makes calls that have a key.
    """

    def __init__(self, core: Core, doors: Sequence[Door], refuse: Refuse, once: Once) -> None:
        self._core, self._once = core, once
        self._doors: Mapping[str, Door] = {door.method: door for door in doors}
        self._path = doors[0].path
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Args:
            scope (Scope): As ASGI gives it.
            receive (Receive): As ASGI gives it.
            send (Send): As ASGI gives it.
        """
        trace = trace_of(scope)
        trace.route = self._path
        try:
            answer = await self._serve(scope, receive)
        except PerdureError as error:
            trace.error = error.code
            answer = self._refuse(error, trace.request_id, self._core.clock.now())
            if answer.status >= 500:  # what the caller did wrong is no failure
                handle(error, where="server", request_id=trace.request_id, route=trace.route)
            if isinstance(error, WrongMethod):
                answer = replace(answer, headers=(*answer.headers, ("allow", ", ".join(self._doors))))
        except Exception as error:  # here and not in the frame, so that the caller is answered in the shape of this door
            handle(error, where="server", what=f"request {trace.request_id} failed on {trace.route}", broke=True)
            trace.error = PerdureError.code
            broken = PerdureError("something went wrong inside", hint="The log has it under this request's id.")
            answer = self._refuse(broken, trace.request_id, self._core.clock.now())
        await answer.send(receive, send)

    async def _serve(self, scope: Scope, receive: Receive) -> Answer | Streamed:
        trace, headers = trace_of(scope), Headers(scope=scope)
        key = await self._core.gate.let_in(bearer_of(headers))
        trace.key_id = key.id
        door = self._door_for(scope["method"])
        check_access(key, scope=door.scope, operator=door.operator)
        call = Call(self._core, key, trace.request_id, headers, scope.get("path_params", {}), receive, says=trace.says)
        call.query = read_query(scope.get("query_string", b""), door.query)
        if door.upload:
            return await door.handle(call)
        body = await read_body(headers, receive, limit=self._core.settings.max_body_bytes)
        if door.bodies and (body.strip() or not door.optional):
            check_media_type(headers)
            data = parse_json(body, max_depth=self._core.settings.max_depth)
            call.body = data if door.raw else shaped(data, door.bodies)
        return await (self._once.answer(call, door) if door.once and HEADER in headers else door.handle(call))

    def _door_for(self, method: str) -> Door:
        door = self._doors.get("GET" if method == "HEAD" else method)
        if door is None:
            allowed = ", ".join(self._doors)
            raise WrongMethod(f"{method} is not possible on {self._path}", hint=f"Possible: {allowed}.")
        return door


class Nowhere:
    """Where no door is. Still asks for a key first, so that strangers learn nothing of what there is.

    Args:
        core (Core): What all doors share.
        refuse (Refuse): Makes an answer of an error.
        explain (Callable[[str], PerdureError]): Says of a path why there is nothing.
    """

    def __init__(self, core: Core, refuse: Refuse, explain: Callable[[str], PerdureError]) -> None:
        self._core = core
        self._refuse = refuse
        self._explain = explain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Args:
            scope (Scope): As ASGI gives it.
            receive (Receive): As ASGI gives it.
            send (Send): As ASGI gives it.
        """
        trace = trace_of(scope)
        try:
            trace.key_id = (await self._core.gate.let_in(bearer_of(Headers(scope=scope)))).id
            error = self._explain(scope["path"])
        except PerdureError as refused:
            error = refused
        trace.error = error.code
        await self._refuse(error, trace.request_id, self._core.clock.now()).send(receive, send)
