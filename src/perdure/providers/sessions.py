"""One pooled HTTP session for each event loop, made when it is first needed."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
import weakref
from urllib.parse import urlsplit

import aiohttp

__all__ = ["Sessions"]

_CONNECT_S = 10.0
# Servers under uvicorn close an idle connection after 5 s; a request sent into a closing connection is
# lost with an unknown outcome, so ours are given up sooner.
_KEEPALIVE_S = 4.0


class Sessions:
    """Gives the session of the running loop.

    aiohttp's own limits (100 connections, 5 minutes, cookies, redirects) are not ours: lanes limit, the
    caller gives the time, and a key follows no redirect.

    Args:
        base_url (str): Where they lead to; a loopback address never goes through a proxy.
    """

    def __init__(self, base_url: str) -> None:
        self._through_proxy = not _is_loopback(urlsplit(base_url).hostname or "")
        self._lock = threading.Lock()
        self._open: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}
        weakref.finalize(self, _close_all, self._open)  # also at exit: the simple door's users close nothing

    def here(self) -> aiohttp.ClientSession:
        """Give the session of the running loop, making it if there is none.

        Returns:
            aiohttp.ClientSession: Shared by all calls on this loop.
        """
        loop = asyncio.get_running_loop()
        known = self._open.get(loop)
        if known is not None and not known.closed:
            return known
        with self._lock:
            for gone in [one for one in self._open if one.is_closed()]:
                del self._open[gone]
            session = self._open.get(loop)
            if session is None or session.closed:
                session = self._open[loop] = self._make()
        return session

    def _make(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=0, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._through_proxy,
            read_bufsize=256 * 1024,
        )

    async def aclose(self) -> None:
        """Close the sessions of every loop that still runs."""
        with self._lock:
            entries = list(self._open.items())
            self._open.clear()
        for loop, session in entries:
            if loop is asyncio.get_running_loop():
                await session.close()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(session.close(), loop)


def _close_all(sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession]) -> None:
    for loop, session in sessions.items():
        if loop.is_running() and not session.closed:
            asyncio.run_coroutine_threadsafe(session.close(), loop)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
