"""One HTTP request to a provider, and every way it can fail, as our errors.

The only place that knows aiohttp's exceptions, imported when the first request is made. Whether a failed
call may be billed depends on whether the request had left: a trace hook marks that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from perdure.errors.base import (
    Billed,
    Evidence,
    InvalidRequest,
    NetworkFailed,
    ProviderError,
    ProviderTimeout,
    ServerFailed,
    StreamCut,
)
from perdure.providers.progress import Progress
from perdure.providers.sessions import Sessions

__all__ = ["Door"]

_json = msgspec.json.Encoder()
_MAX_ANSWER_BYTES = 64 * 1024 * 1024


class Door:
    """Where a provider answers: address, key, headers and connections.

    Args:
        name (str): The provider, for messages.
        base_url (str): Checked; with the version, without a slash at the end.
        api_key (str | None): Checked; sent as a bearer token.
        headers (Mapping[str, str]): Sent with every request.
    """

    def __init__(self, name: str, base_url: str, api_key: str | None, headers: Mapping[str, str]) -> None:
        self.name: str = name
        self.base_url: str = base_url
        self.api_key: str | None = api_key
        self._headers = {"user-agent": "perdure", **headers}
        if api_key:
            self._headers["authorization"] = f"Bearer {self.api_key}"
        self._sessions = Sessions(self.base_url)
        self._trace = _trace()

    def __repr__(self) -> str:
        return f"Door({self.name!r}, {self.base_url!r})"

    @asynccontextmanager
    async def get(self, path: str, *, timeout_s: float, of_root: bool = False) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for something.

        Args:
            path (str): Below the base address, with a leading slash.
            timeout_s (float): For the whole answer.
            of_root (bool): Below the server's root, beside `/v1`.

        Yields:
            aiohttp.ClientResponse: Of whatever status.

        Raises:
            ProviderError: There was no answer.
        """
        progress = Progress(timeout_s=timeout_s)
        with self._mapped(progress):
            url = (self.base_url.removesuffix("/v1") if of_root else self.base_url) + path
            async with self._request("GET", url, None, progress, aiohttp.ClientTimeout(total=timeout_s)) as response:
                yield response

    @asynccontextmanager
    async def post(
        self, path: str, body: Mapping[str, Any], progress: Progress, *, total_s: float | None, read_s: float | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, once.

        Args:
            path (str): Below the base address, with a leading slash.
            body (Mapping[str, Any]): Sent as JSON.
            progress (Progress): Told how far it has come.
            total_s (float | None): For the whole answer.
            read_s (float | None): For each read, where the whole has no limit.

        Yields:
            aiohttp.ClientResponse: Of whatever status.

        Raises:
            ProviderError: There was no answer, or it broke off.
        """
        data = self._encode(body)
        progress.timeout_s = total_s or read_s
        with self._mapped(progress):
            limit = aiohttp.ClientTimeout(total=total_s, sock_connect=10.0, sock_read=read_s)
            async with self._request("POST", self.base_url + path, data, progress, limit) as response:
                yield response

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read a whole body, up to a sane size.

        Args:
            response (aiohttp.ClientResponse): From `get` or `post`.

        Returns:
            bytes: As sent.

        Raises:
            ServerFailed: It is larger than any answer can be.
        """
        pieces, size = [], 0
        async for piece in response.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > _MAX_ANSWER_BYTES:
                raise ServerFailed(f"{self.name!r} answered with more than {_MAX_ANSWER_BYTES} bytes", billed=Billed.MAYBE)
        return b"".join(pieces)

    async def aclose(self) -> None:
        """Close connections."""
        await self._sessions.aclose()

    def _request(self, method: str, url: str, data: bytes | None, progress: Progress, limit: aiohttp.ClientTimeout) -> Any:
        headers = self._headers if data is None else {**self._headers, "content-type": "application/json"}
        return self._sessions.here(self._trace).request(
            method, url, data=data, headers=headers, timeout=limit, allow_redirects=False, trace_request_ctx=progress
        )

    def _encode(self, body: Mapping[str, Any]) -> bytes:
        try:
            return _json.encode(body)
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise InvalidRequest(
                f"the request to {self.name!r} cannot be written as JSON: {error}",
                hint="Only text that is valid Unicode, numbers, lists and dicts can be sent.",
                evidence=Evidence(provider=self.name, rule="not-json-in"),
            ) from error

    def _mapped(self, progress: Progress) -> _Mapped:
        return _Mapped(self.name, urlsplit(self.base_url).netloc, progress)


class _Mapped:  # turns aiohttp's exceptions into ours
    def __init__(self, name: str, where: str, progress: Progress) -> None:
        self._name, self._where, self._progress = name, where, progress

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, aiohttp.ClientError | asyncio.TimeoutError | OSError):
            raise self._ours(error) from error

    def _ours(self, error: BaseException) -> ProviderError:
        facts: dict[str, Any] = {"billed": self._billed(), "evidence": Evidence(provider=self._name, rule=_rule(error))}
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            facts["billed"] = Billed.NO
            return NetworkFailed(f"{self._name!r} cannot be reached at {self._where}: {_said(error)}", hint=_advice(error), **facts)
        if isinstance(error, asyncio.TimeoutError):
            return ProviderTimeout(f"{self._name!r} gave no complete answer within {self._progress.timeout_s} s", **facts)
        if self._progress.began:
            return StreamCut(f"{self._name!r} broke off in the middle of the answer: {_said(error)}", **facts)
        if isinstance(error, aiohttp.ClientResponseError):
            return ServerFailed(f"{self._name!r} does not answer in HTTP: {_said(error)}", **facts)
        return NetworkFailed(f"the connection to {self._name!r} broke: {_said(error)}", **facts)

    def _billed(self) -> Billed:
        if self._progress.began:
            return Billed.PARTIAL
        return Billed.MAYBE if self._progress.sent else Billed.NO


def _trace() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def sent(_: object, context: Any, __: object) -> None:
        if isinstance(context.trace_request_ctx, Progress):
            context.trace_request_ctx.sent = True

    trace.on_request_headers_sent.append(sent)
    return trace


def _rule(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns"
    if isinstance(error, aiohttp.ClientSSLError):
        return "tls"
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return "connect"
    return "timeout" if isinstance(error, asyncio.TimeoutError) else "broken"


def _advice(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientSSLError):
        return "The certificate or the TLS version is not accepted; is the address right, is there a proxy between?"
    return "Is the address right, is the server up, is there a firewall between?"


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
