"""The socket a server listens on, and the file that says where that is."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from perdure.cli.private_files import write_private
from perdure.client.address import address_file
from perdure.errors.base import ConfigError, Conflict

_KNOCK_S = 1.0

__all__ = ["address_written", "another_server", "listening", "url_of"]


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Take an address before anything else is started.

    Args:
        host (str): A name or an address.
        port (int): 0 for any that is free.

    Yields:
        socket.socket: Bound, closed in the end.

    Raises:
        Conflict: The port is in use.
        ConfigError: There is no such address, or it may not be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        taken = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{host!r} is no address to listen on: {error}", hint="--host 127.0.0.1, or 0.0.0.0 for all.") from error
    with taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(address)
        except OSError as error:
            raise _refused(error, host, port) from error
        yield taken


def url_of(taken: socket.socket) -> str:
    """Say how programs on this machine reach a socket.

    Args:
        taken (socket.socket): Bound.

    Returns:
        str: For example `http://127.0.0.1:8321`.
    """
    host, port = taken.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = "127.0.0.1" if taken.family == socket.AF_INET else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def address_written(data: Path, url: str) -> Iterator[None]:
    """Tell programs on this machine where the server is, as long as it is there.

    Args:
        data (Path): The data folder.
        url (str): Where it listens.

    Yields:
        None: While the file is there. One left behind by a killed server is written over; that of another that
            lives is put back in the end.
    """
    file = address_file(data)
    before = _of_a_living(file)
    content = json.dumps({"url": url, "pid": os.getpid()}).encode()
    write_private(file, content)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if file.read_bytes() == content:  # not that of a server started meanwhile
                if before is not None and _lives(before):
                    write_private(file, before)
                else:
                    file.unlink()


async def another_server(data: Path) -> str | None:
    """Find a server that serves the same data folder already.

    Args:
        data (Path): The data folder.

    Returns:
        str | None: Its address; None if its process is gone, or nobody listens there.
    """
    said = _of_a_living(address_file(data))
    try:
        url = "" if said is None else str(json.loads(said)["url"])
        parts = urlsplit(url)
        async with asyncio.timeout(_KNOCK_S):
            _, knocked = await asyncio.open_connection(parts.hostname, parts.port)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    knocked.close()
    return url


def _of_a_living(file: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        said = file.read_bytes()
        return said if _lives(said) else None
    return None


def _lives(said: bytes) -> bool:
    try:
        os.kill(int(json.loads(said)["pid"]), 0)
    except PermissionError:
        return True  # somebody else's, and there
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return False
    return True


def _refused(error: OSError, host: str, port: int) -> Conflict | ConfigError:
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"port {port} of {host} is in use", hint="Is Perdure running there already? `--port 0` takes any free one, `--port N` another."
        )
    return ConfigError(f"port {port} of {host} cannot be used: {error.strerror}", hint="Ports below 1024 need special rights.")
