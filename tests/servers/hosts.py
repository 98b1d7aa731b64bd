"""Several hosts on one machine: network namespaces on a bridge, each with a name and a cable that can be pulled.

Where nobody may make namespaces, a host is a process behind proxies of its own, which stall instead: what is
cut off then is its way to the database and to the provider, and all hosts have one name.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from servers.chaos import Chaos
from servers.server import Server

__all__ = ["Host", "Place", "namespaces", "namespaces_can_be_made", "proxies"]

_BRIDGES = itertools.count(os.getpid() % 10_000)


class Host(Protocol):
    """A machine, as far as a process on it can tell."""

    name: str
    address: str
    environ: dict[str, str]
    """Where the database and the provider are, seen from here."""

    def command(self, command: Sequence[str]) -> list[str]:
        """The same command, run here."""
        ...

    def cut(self) -> None:
        """Let nothing through any more; nobody is told, as when a cable is pulled."""
        ...

    def heal(self) -> None:
        """Let everything through again."""
        ...


class Place(Protocol):
    """Where hosts are, with a database and a provider that all of them can reach."""

    database: Server
    url: str

    async def host(self, name: str) -> Host:
        """Set one up."""
        ...


def namespaces_can_be_made() -> bool:
    """Whether this process has the right, and the machine the means."""
    probe = f"pdrt{os.getpid()}"
    try:
        made = subprocess.run(["ip", "link", "add", probe, "type", "bridge"], capture_output=True)
        inside = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True)
        if made.returncode == 0:
            ip("link", "delete", probe)
    except FileNotFoundError:
        return False
    return made.returncode == 0 == inside.returncode


def ip(*words: str) -> None:
    said = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert said.returncode == 0, f"ip {' '.join(words)}: {said.stderr}"


class _Namespace:
    """A host with a network, a name and a cable of its own."""

    def __init__(self, bridge: str, number: int, name: str, subnet: str, environ: dict[str, str]) -> None:
        self.name, self.environ = name, environ
        self._bridge, self._space = bridge, f"{bridge}-{number}"
        self._cable, inside = f"{bridge}c{number}", f"{bridge}i{number}"
        self.address = f"{subnet}.{number + 1}"
        ip("netns", "add", self._space)
        ip("link", "add", self._cable, "type", "veth", "peer", "name", inside)
        ip("link", "set", self._cable, "master", bridge, "up")
        ip("link", "set", inside, "netns", self._space)
        ip("-n", self._space, "link", "set", "lo", "up")
        ip("-n", self._space, "address", "add", f"{self.address}/24", "dev", inside)
        ip("-n", self._space, "link", "set", inside, "up")

    def command(self, command: Sequence[str]) -> list[str]:
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return ["ip", "netns", "exec", self._space, *named, *command]

    def cut(self) -> None:
        ip("link", "set", self._cable, "nomaster")

    def heal(self) -> None:
        ip("link", "set", self._cable, "master", self._bridge)

    def remove(self) -> None:
        ip("netns", "delete", self._space)


class _Namespaces:
    def __init__(self, bridge: str, subnet: str, database: Server, url: str, provider: str) -> None:
        self.database, self.url = database, url
        self._bridge, self._subnet = bridge, subnet
        self._environ = {"PERDURE_DATABASE_URL": url, "PERDURE_PROVIDERS__UP__BASE_URL": provider}
        self.hosts: list[_Namespace] = []

    async def host(self, name: str) -> _Namespace:
        made = await asyncio.to_thread(_Namespace, self._bridge, len(self.hosts) + 1, name, self._subnet, self._environ)
        self.hosts.append(made)
        return made


@asynccontextmanager
async def namespaces(provider: str) -> AsyncIterator[Place]:
    """Hosts with networks of their own. What still runs on them must be ended before this ends."""
    number = next(_BRIDGES) % 250 + 1
    bridge, subnet = f"pdr{os.getpid() % 100_000}", f"10.213.{number}"
    ip("link", "add", bridge, "type", "bridge")
    place: _Namespaces | None = None
    try:
        ip("address", "add", f"{subnet}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        async with Server(host=f"{subnet}.1") as database, Chaos(provider, host=f"{subnet}.1") as relay:
            place = _Namespaces(bridge, subnet, database, await database.create("hosts"), relay.url)
            yield place
    finally:
        for host in place.hosts if place else ():
            host.remove()
        ip("link", "delete", bridge)


class _Behind:
    """A host that is only a way through two proxies."""

    def __init__(self, name: str, database: Chaos, provider: Chaos) -> None:
        self.name = name
        self.environ = {"PERDURE_DATABASE_URL": database.url, "PERDURE_PROVIDERS__UP__BASE_URL": provider.url}
        self.address = "127.0.0.1"
        self._ways = (database, provider)

    def command(self, command: Sequence[str]) -> list[str]:
        return list(command)

    def cut(self) -> None:
        for way in self._ways:
            way.stall()

    def heal(self) -> None:
        for way in self._ways:
            way.going.set()


class _Proxies:
    def __init__(self, database: Server, url: str, provider: str, stack: AsyncExitStack) -> None:
        self.database, self.url = database, url
        self._provider, self._stack = provider, stack

    async def host(self, name: str) -> _Behind:
        ways = [await self._stack.enter_async_context(Chaos(url)) for url in (self.url, self._provider)]
        return _Behind(name, *ways)


@asynccontextmanager
async def proxies(provider: str) -> AsyncIterator[Place]:
    """Hosts behind proxies; needs no rights."""
    async with Server() as database, AsyncExitStack() as stack:
        yield _Proxies(database, await database.create("hosts"), provider, stack)
