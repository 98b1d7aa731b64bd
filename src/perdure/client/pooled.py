"""The wire of programs: aiohttp, one session with its pool of connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from perdure.client.wires import Reply, broke, not_connected, too_late

if TYPE_CHECKING:
    import aiohttp

MOST_CONNECTIONS = 500
CONNECT_S = 10.0

__all__ = ["PooledWire"]


class PooledWire:
    """Keeps connections open and shares them between requests."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def carry(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float) -> Reply:
        """Send a request and bring the answer."""
        import aiohttp  # a third of a second, so only where requests are made
        from yarl import URL

        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS))
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, CONNECT_S))
        try:
            async with self._session.request(
                method, URL(url, encoded=True), data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                return Reply(answer.status, await answer.read(), answer.headers.get("Retry-After"))
        except aiohttp.ClientConnectorError as error:
            raise not_connected(url, error.os_error.strerror or error.os_error) from error
        except TimeoutError as error:
            raise too_late(url, timeout_s) from error
        except (aiohttp.ClientError, OSError) as error:
            raise broke(url, error) from error

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
