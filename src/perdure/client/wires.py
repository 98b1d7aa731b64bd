"""Who carries a request to the server and its answer back: the contract, and how a failure to do so is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from perdure.errors.base import Evidence, ServerUnreachable

NOT_CONNECTED = "not-connected"

__all__ = ["NOT_CONNECTED", "Reply", "Wire", "broke", "not_connected", "too_late"]


class Reply(msgspec.Struct, frozen=True):
    """An answer as it came."""

    status: int
    body: bytes
    retry_after: str | None = None


class Wire(Protocol):
    """Carries one request at a time or many, makes exactly one try of each."""

    async def carry(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float) -> Reply:
        """Send a request and bring the answer.

        Args:
            method (str): Of HTTP.
            url (str): The whole address, already escaped.
            headers (Mapping[str, str]): All of them.
            body (bytes | None): What to send.
            timeout_s (float): For all of it.

        Returns:
            Reply: Whatever the status.

        Raises:
            ServerUnreachable: There was no connection (`NOT_CONNECTED` is then the rule of its evidence), it broke, or it took too long.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


def not_connected(url: str, reason: object) -> ServerUnreachable:
    """Say that no connection could be made, so that nothing has arrived.

    Args:
        url (str): Where to.
        reason (object): What the system said.

    Returns:
        ServerUnreachable: To be raised.
    """
    hint = "Start one with `perdure up`, or say where it is: PERDURE_URL, --url."
    return ServerUnreachable(f"no server can be reached at {_root(url)} ({reason})", hint=hint, evidence=Evidence(rule=NOT_CONNECTED))


def broke(url: str, error: Exception) -> ServerUnreachable:
    """Say that the connection broke; the request may have arrived.

    Args:
        url (str): Where to.
        error (Exception): What happened.

    Returns:
        ServerUnreachable: To be raised.
    """
    return ServerUnreachable(f"the connection to {_root(url)} broke: {str(error) or type(error).__name__}")


def too_late(url: str, timeout_s: float) -> ServerUnreachable:
    """Say that no answer came in time; the request may have arrived.

    Args:
        url (str): Where to.
        timeout_s (float): What was allowed.

    Returns:
        ServerUnreachable: To be raised.
    """
    return ServerUnreachable(f"{_root(url)} did not answer within {timeout_s:.0f} s")


def _root(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])
