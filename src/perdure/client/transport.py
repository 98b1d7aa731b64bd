"""One request and its answer: errors as ours, and asking again where that is safe.

A connection that could not be made is tried again for any request. An answer that was lost is asked for
again only where asking twice changes nothing: reads, and puts, which carry a dedup key. Both end after
`retry_for_s`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from perdure.client.address import Address
from perdure.client.problems import error_of_answer
from perdure.client.wires import NOT_CONNECTED, Wire
from perdure.clock import awake, chance, now
from perdure.errors.base import InvalidInput, PerdureError, ServerUnreachable, StoreError

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0

__all__ = ["Transport", "segment"]


def segment(text: str) -> str:
    """Write an id or a name as one part of a path, whatever it holds.

    Args:
        text (str): Perhaps from a command line.

    Returns:
        str: Without `/`, `.` alone or anything that would lead elsewhere.
    """
    return quote(text, safe="", errors="replace").replace(".", "%2E")


class Transport:
    """Speaks HTTP with one server.

    Args:
        address (Address): The server and the key.
        wire (Wire): Who carries requests there.
        timeout_s (float): For one request, on top of what it asks the server to wait.
        retry_for_s (float): How long to go on asking where that is safe; 0 asks once.
    """

    def __init__(self, address: Address, *, wire: Wire, timeout_s: float, retry_for_s: float) -> None:
        self._address = address
        self._wire = wire
        self._headers = {"authorization": f"Bearer {address.key}"} if address.key else {}
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s

    async def get(self, path: str, query: Mapping[str, Any] | None = None, *, wait_s: float = 0) -> Any:
        """Read something.

        Args:
            path (str): Below the server's address.
            query (Mapping[str, Any] | None): Parameters; None values are left out.
            wait_s (float): How long the server may take because it was asked to wait.

        Returns:
            Any: The decoded answer.
        """
        return await self.ask("GET", path, query=query, wait_s=wait_s, repeatable=True)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: Mapping[str, Any] | None = None,
        wait_s: float = 0,
        repeatable: bool = False,
    ) -> Any:
        """Send a request until it is answered, or asking again is not safe, or takes too long.

        Args:
            method (str): Of HTTP.
            path (str): Below the server's address.
            body (bytes | None): JSON.
            query (Mapping[str, Any] | None): Parameters; None values are left out.
            wait_s (float): How long the server may take because it was asked to wait.
            repeatable (bool): True if asking twice changes nothing.

        Returns:
            Any: The decoded answer; None for an empty one.

        Raises:
            PerdureError: What the server said, or `ServerUnreachable`.
        """
        give_up_at = awake() + self._retry_for_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await self._once(method, path, body, query, self._timeout_s + wait_s)
            except (ServerUnreachable, StoreError) as error:
                rest_s = _pause(error, pause_s)
                if not (error.retryable and (repeatable or _never_arrived(error))) or awake() + rest_s > give_up_at:
                    raise
            await asyncio.sleep(rest_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._wire.aclose()

    async def _once(self, method: str, path: str, body: bytes | None, query: Mapping[str, Any] | None, timeout_s: float) -> Any:
        params = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        url = f"{self._address.url}{path}?{urlencode(params)}" if params else f"{self._address.url}{path}"
        headers = self._headers if body is None else {**self._headers, "content-type": "application/json"}
        reply = await self._wire.carry(method, url, headers, body, timeout_s)
        if reply.status >= 300:
            raise error_of_answer(reply.status, reply.body, url=self._address.url, retry_after=reply.retry_after)
        return self._decoded(reply.body)

    def _decoded(self, content: bytes) -> Any:
        if not content:
            return None
        try:
            return msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ServerUnreachable(f"{self._address.url} answered, but not as Perdure does", retryable=False) from error


def _text(value: object) -> str:
    text = str(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"{text[:60]!r} is no text: {error.reason}") from error
    return text


def _never_arrived(error: PerdureError) -> bool:
    return error.evidence.rule == NOT_CONNECTED


def _pause(error: PerdureError, pause_s: float) -> float:
    if error.retry_at is not None:
        return max(error.retry_at - now(), pause_s)
    return pause_s * (0.5 + chance())
