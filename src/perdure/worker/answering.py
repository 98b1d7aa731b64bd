"""What a framework's client is answered at the endpoint of its run."""

from __future__ import annotations

import secrets
import socket
from asyncio import AbstractServer, get_running_loop
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from aiohttp import web

from perdure.agents.endpoint import Asked, Calls
from perdure.errors.base import (
    Forbidden,
    InputTooLarge,
    InvalidInput,
    NotFound,
    NotYetBuilt,
    PerdureError,
    RunEnded,
    Unauthenticated,
    WrongMethod,
)
from perdure.errors.handler import handle
from perdure.security.secrets import redact
from perdure.tools.plain import load
from perdure.wire.complete import Chunks, complete_answer
from perdure.wire.errors import error_body, status_of
from perdure.wire.requests import param_of, read_chat_request
from perdure.wire.sse import DONE, encode_json

__all__ = ["Answering"]

_MOST_BYTES = 64 * 1024 * 1024
_NOBODY = 499
"""Written to nobody: the client is gone."""
_CHAT = "chat/completions"
_JSON = {"content-type": "application/json"}
_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}


class Answering:
    """Answers on one socket.

    Args:
        calls_of (Callable[[str], Calls | None]): Finds the run of a token.
        host (str): As clients have to name it: a page that was tricked into asking us names another.
    """

    def __init__(self, calls_of: Callable[[str], Calls | None], host: str) -> None:
        self._calls_of = calls_of
        self._hosts = {host, host.replace("127.0.0.1", "localhost")}
        self._web = web.Server(self._answer, handler_cancellation=True, access_log=None)
        self._server: AbstractServer | None = None

    async def listen(self, opened: socket.socket) -> None:
        """Answer whoever connects.

        Args:
            opened (socket.socket): Bound and listening.
        """
        self._server = await get_running_loop().create_server(self._web, sock=opened)

    async def stop(self, within_s: float) -> None:
        """Answer nobody any more.

        Args:
            within_s (float): What answers under way get.
        """
        if self._server is not None:
            self._server.close()
        await self._web.shutdown(within_s)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        calls: Calls | None = None
        try:
            self._check_sender(request)
            calls = self._let_in(request)
            scope = _door(request)
            body = read_chat_request(load(await _read(request)))
            return await _answered(request, calls, body, calls.ask(scope, body, again=_again(request)))
        except Exception as error:
            return web.Response(status=_NOBODY) if _gone(request) else _refused(_ours(error), calls)

    def _check_sender(self, request: web.BaseRequest) -> None:
        """Refuse pages in a browser, whatever they have got hold of: they say where they come from, or were told another name for us."""
        if request.headers.get("host") not in self._hosts:
            raise Forbidden("this is no address of ours", hint="Use `run.openai_base_url` as it is.")
        if "origin" in request.headers:
            raise Forbidden("a page in a browser is answered nothing here", hint="Ask from the agent's own process.")

    def _let_in(self, request: web.BaseRequest) -> Calls:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthenticated("no key was sent", hint="Give the client `run.openai_api_key`.")
        calls = self._calls_of(token.strip())
        if calls is None:
            raise RunEnded("the run of this key has ended, or goes on elsewhere", hint="A key is good for one lease of one run.")
        return calls


def _door(request: web.BaseRequest) -> str:
    """Read the path: `/v1/…`, or `/scope=…/v1/…`; what it names is a scope of the run."""
    first, _, rest = request.raw_path.partition("?")[0].removeprefix("/").partition("/")
    scope = ""
    if first.startswith("scope="):
        scope = unquote(first.removeprefix("scope="))
        first, _, rest = rest.partition("/")
    if first != "v1" or not rest:
        raise NotFound(f"there is nothing at {request.raw_path[:200]!r}", hint="Use `run.openai_base_url` as it is.")
    if rest != _CHAT:
        raise NotYetBuilt(
            f"/v1/{rest[:200]} is not built at the endpoint of a run", hint=f"Built is /v1/{_CHAT}; most frameworks can be told to use it."
        )
    if request.method != "POST":
        raise WrongMethod(f"{request.method} is not answered here", hint="Use POST.")
    return scope


def _again(request: web.BaseRequest) -> bool:
    """OpenAI's clients count their retries in a header."""
    return request.headers.get("x-stainless-retry-count", "0") != "0"


async def _read(request: web.BaseRequest) -> bytes:
    _check_size(request.content_length or 0)
    read = bytearray()
    async for part in request.content.iter_any():
        read += part
        _check_size(len(read))
    return bytes(read)


def _check_size(size: int) -> None:
    if size > _MOST_BYTES:
        raise InputTooLarge(f"the request is larger than {_MOST_BYTES} bytes", hint="Send less at once.")


async def _answered(request: web.BaseRequest, calls: Calls, body: Mapping[str, Any], asked: Asked) -> web.StreamResponse:
    try:
        response = await (_streamed(request, body, asked, calls) if body.get("stream") else _whole(body, asked))
        await _written(request, response)
        asked.read()
        return response
    except Exception as error:
        if _gone(request):
            raise
        refusal = _refused(_ours(error), calls)
        await _written(request, refusal)
        asked.read()
        return refusal
    finally:
        asked.left()


async def _whole(body: Mapping[str, Any], asked: Asked) -> web.StreamResponse:
    answer = complete_answer(await asked.whole(), model=body.get("model") or "")
    return web.Response(body=msgspec.json.encode(answer), headers=_JSON)


async def _streamed(request: web.BaseRequest, body: Mapping[str, Any], asked: Asked, calls: Calls) -> web.StreamResponse:
    """The first piece decides the status: an error before it is an answer of its own."""
    options = body.get("stream_options") or {}
    chunks = Chunks(
        model=body.get("model") or "", usage=bool(options.get("include_usage")), running=bool(options.get("continuous_usage_stats"))
    )
    response = web.StreamResponse(headers=_STREAM)
    try:
        async for piece in asked.pieces():
            if (found := chunks.take(piece)) is not None:
                await _sent(request, response, encode_json(found))
    except Exception as error:
        if not response.prepared or _gone(request):
            raise
        ours = _ours(error)
        await _sent(request, response, encode_json(_said(ours, _numbered(ours, calls))))
        return response
    last = chunks.last()
    await _sent(request, response, DONE if last is None else encode_json(last) + DONE)
    return response


async def _sent(request: web.BaseRequest, response: web.StreamResponse, data: bytes) -> None:
    if not response.prepared:
        await response.prepare(request)
    await response.write(data)


async def _written(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Write to the end; what is then still in our hands, and not in the system's, counts as not written."""
    await response.prepare(request)
    await response.write_eof()
    if _gone(request):
        raise ConnectionResetError("the client is gone")


def _gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _ours(error: Exception) -> PerdureError:
    if isinstance(error, PerdureError):
        return error
    handle(error, where="worker.endpoint", what="a call of a framework could not be answered", broke=True)
    return PerdureError("something went wrong inside", hint="The worker's log says what.")


def _refused(error: PerdureError, calls: Calls | None) -> web.Response:
    number = _numbered(error, calls)
    return web.Response(
        status=405 if isinstance(error, WrongMethod) else status_of(error),
        body=msgspec.json.encode(_said(error, number)),
        headers={**_JSON, "x-request-id": number, "x-should-retry": "false"},
    )


def _numbered(error: PerdureError, calls: Calls | None) -> str:
    """Give the answer a number, by which the run knows the error again when a client brings it back."""
    number = f"req_{secrets.token_hex(12)}"
    if calls is not None:
        calls.refused(number, error)
    return number


def _said(error: PerdureError, number: str) -> dict[str, Any]:
    facts = error.facts()
    clean = msgspec.structs.replace(facts, message=redact(facts.message), hint=facts.hint and redact(facts.hint))
    said = error_body(clean, param=param_of(error) if isinstance(error, InvalidInput) else None)
    return {"error": {**said["error"], "request_id": number}}
