"""One HTTP request to a provider, and every way it can fail, as our errors.

The only place that knows aiohttp's exceptions, imported when the first request is made. Whether a failed
call may be billed depends on whether the request had left: its body marks that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter

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

__all__ = ["Door", "Exchange"]

_json = msgspec.json.Encoder()
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
_FOREIGN = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


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
        self._posting = {**self._headers, "content-type": "application/json"}
        self._sessions = Sessions(self.base_url)
        self._where = urlsplit(base_url).netloc

    def __repr__(self) -> str:
        return f"Door({self.name!r}, {self.base_url!r})"

    def get(self, path: str, *, timeout_s: float, of_root: bool = False) -> Exchange:
        """Ask for something: `async with door.get(…) as response`.

        Args:
            path (str): Below the base address, with a leading slash.
            timeout_s (float): For the whole answer.
            of_root (bool): Below the server's root, beside `/v1`.

        Returns:
            Exchange: Gives the response, of whatever status; raises `ProviderError` where there is none.
        """
        base = self.base_url.removesuffix("/v1") if of_root else self.base_url
        return self._exchange("GET", base + path, None, Progress(timeout_s=timeout_s), _limit(timeout_s, None))

    def post(
        self, path: str, body: Mapping[str, Any], progress: Progress, *, total_s: float | None, read_s: float | None = None
    ) -> Exchange:
        """Send a request, once: `async with door.post(…) as response`.

        Args:
            path (str): Below the base address, with a leading slash.
            body (Mapping[str, Any]): Sent as JSON.
            progress (Progress): Told how far it has come.
            total_s (float | None): For the whole answer.
            read_s (float | None): For each read, where the whole has no limit.

        Returns:
            Exchange: Gives the response, of whatever status; raises `ProviderError` where there is none, or where it breaks off.

        Raises:
            InvalidRequest: The body cannot be written as JSON.
        """
        progress.timeout_s = total_s or read_s
        return self._exchange("POST", self.base_url + path, Outgoing(self._encode(body), progress), progress, _limit(total_s, read_s))

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read a whole body, up to a sane size.

        Args:
            response (aiohttp.ClientResponse): From `get` or `post`.

        Returns:
            bytes: As sent.

        Raises:
            ServerFailed: It is larger than any answer can be.
        """
        if 0 <= (response.content_length or -1) <= _MAX_ANSWER_BYTES and "content-encoding" not in response.headers:
            return await response.read()
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

    def _exchange(self, method: str, url: str, data: Outgoing | None, progress: Progress, limit: aiohttp.ClientTimeout) -> Exchange:
        headers = self._headers if data is None else self._posting
        asked = self._sessions.here().request(method, url, data=data, headers=headers, timeout=limit, allow_redirects=False)
        return Exchange(asked, self.name, self._where, progress)

    def _encode(self, body: Mapping[str, Any]) -> bytes:
        try:
            return _json.encode(body)
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise InvalidRequest(
                f"the request to {self.name!r} cannot be written as JSON: {error}",
                hint="Only text that is valid Unicode, numbers, lists and dicts can be sent.",
                evidence=Evidence(provider=self.name, rule="not-json-in"),
            ) from error


class Outgoing(aiohttp.payload.Payload):
    """A body that notes when it goes out: from then on the call may have been paid for.

    Args:
        value (bytes): JSON.
        progress (Progress): Told.
    """

    _autoclose = True

    def __init__(self, value: bytes, progress: Progress) -> None:
        super().__init__(value, content_type="application/json")
        self._size = len(value)
        self._progress = progress

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Give it as text, for aiohttp's own messages.

        Args:
            encoding (str): Its own.
            errors (str): What to do with others.

        Returns:
            str: The JSON.
        """
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it.

        Args:
            writer (AbstractStreamWriter): Where to.
        """
        self._progress.sent = True
        for start in range(0, len(self._value), _PIECE_BYTES):  # a large one must not hold up the loop
            await writer.write(self._value[start : start + _PIECE_BYTES])

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002 - aiohttp's
        """Send it.

        Args:
            writer (AbstractStreamWriter): Where to.
            content_length (int | None): Always that of the body.
        """
        await self.write(writer)


class Exchange:
    """One request and its response; turns aiohttp's exceptions into ours, also those that come while the body is read.

    Args:
        asked (AbstractAsyncContextManager[aiohttp.ClientResponse]): The request, not yet sent.
        name (str): The provider.
        where (str): Its host, for messages.
        progress (Progress): Says whether it had been sent.
    """

    __slots__ = ("_asked", "_name", "_progress", "_where")

    def __init__(self, asked: AbstractAsyncContextManager[aiohttp.ClientResponse], name: str, where: str, progress: Progress) -> None:
        self._asked, self._name, self._where, self._progress = asked, name, where, progress

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            return await self._asked.__aenter__()
        except _FOREIGN as error:
            raise self._ours(error) from error

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self._asked.__aexit__(kind, error, trace)
        except _FOREIGN as late:
            raise self._ours(late) from late
        if isinstance(error, _FOREIGN):
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


@lru_cache(maxsize=64)
def _limit(total_s: float | None, read_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, sock_connect=10.0, sock_read=read_s)


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
