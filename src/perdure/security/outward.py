"""Where a webhook may go: to the world, not to what only this machine and its neighbours should reach.

An address is looked up once, every answer is judged, and the connection is made to an answer that was judged: a name that
gives another address a moment later gains nothing.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from perdure.errors.base import Forbidden, InvalidInput, NetworkFailed

__all__ = ["Outward", "outward"]

_PORTS = {"https": 443, "http": 80}
_WORLD = IPv6Network("2000::/3")
_TESTS = IPv6Network("3fff::/20")
_OF_A_CLOUD = frozenset({IPv4Address("168.63.129.16")})
"""Azure's machines meet their own host there, under an address like any other."""


class Outward(NamedTuple):
    """A place that may be called."""

    scheme: str
    host: str
    port: int
    path: str
    """With its query."""
    address: str
    """To be connected to."""


def outward(url: str, *, inside: bool = False) -> Outward:
    """Look an address up, and refuse what lies inside. Blocks while the name is looked up.

    Args:
        url (str): `https://…`.
        inside (bool): True where the people who run this machine have allowed it.

    Returns:
        Outward: Where to connect to.

    Raises:
        InvalidInput: It is no such address.
        Forbidden: It lies inside.
        NetworkFailed: Nobody knows its name.
    """
    parts, host, port = _read(url)
    if parts.scheme == "http" and not inside:
        raise Forbidden(f"{host!r} is to be called without TLS", hint="Use https, or set `inside` for an address of your own network.")
    found = _looked_up(host, port)
    if not inside and (within := next((one for one in found if not _is_outside(one)), None)) is not None:
        raise Forbidden(f"{host!r} leads inside, to {within}", hint="Set `inside` if that is meant.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Outward(parts.scheme, host, port, path, str(found[0]))


def _read(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        parts, host, port = SplitResult("", "", "", "", ""), "", 0
    sendable = all("!" <= letter <= "~" for letter in parts.path + parts.query)  # who posts would repeat the whole of it in its complaint
    if parts.scheme not in _PORTS or not host or not port or parts.username is not None or not sendable:
        raise InvalidInput("this is no address that a webhook could have", hint="Write `https://host/path`; secrets go into `secret`.")
    return parts, host, port


def _looked_up(host: str, port: int) -> list[IPv4Address | IPv6Address]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NetworkFailed(f"{host!r} cannot be looked up: {error}") from error
    return [ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]


def _is_outside(address: IPv4Address | IPv6Address) -> bool:
    here = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
    if not here.is_global or here.is_multicast or here in _OF_A_CLOUD:
        return False
    return isinstance(here, IPv4Address) or (here in _WORLD and here not in _TESTS and not _is_translated(here))


def _is_translated(address: IPv6Address) -> bool:
    """6to4, Teredo and ISATAP carry another address inside, which may lie anywhere; NAT64 and its like lie outside the world's block."""
    isatap = (int(address) >> 32) & 0xFCFFFFFF == 0x5EFE
    return isatap or address.sixtofour is not None or address.teredo is not None
