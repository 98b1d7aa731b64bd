"""Where the server is, and with which key to knock: said, or found in the data folder.

The server process writes `<data>/run/server.json` when it starts, and the first key lies in `<data>/key`.
So on the machine where `perdure up` runs, programs and the command line need to be told nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from perdure.config.environments import read_files
from perdure.errors.base import ConfigError, PerdureError

DEFAULT_URL = "http://127.0.0.1:8321"

__all__ = ["DEFAULT_URL", "Address", "address_file", "data_folder", "find_address", "key_file"]


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A server and the key for it."""

    url: str
    key: str | None = None

    def __repr__(self) -> str:
        """Show where, never the key.

        Returns:
            str: For logs and errors.
        """
        return f"Address(url={self.url!r}, key={'…' if self.key else None})"


def data_folder() -> Path:
    """Find the data folder as the server does: `PERDURE_DATA`, a settings file here, or `./.perdure`.

    Returns:
        Path: It need not exist.
    """
    if said := os.environ.get("PERDURE_DATA"):
        return Path(said).expanduser()
    try:
        files = read_files(Path.cwd(), os.environ.get("PERDURE_ENV", ""))
    except PerdureError:
        files = []  # a broken settings file stops a server, not a client
    said = next((str(tree["data"]) for _, tree in reversed(files) if "data" in tree), ".perdure")
    return Path(said).expanduser()


def key_file(data: Path) -> Path:
    """Name the file that holds the first key.

    Args:
        data (Path): The data folder.

    Returns:
        Path: Its mode is 0600.
    """
    return data / "key"


def address_file(data: Path) -> Path:
    """Name the file that says where the server listens.

    Args:
        data (Path): The data folder.

    Returns:
        Path: JSON with `url` and `pid`; left behind by a server that was killed.
    """
    return data / "run" / "server.json"


def find_address(base_url: str | None = None, api_key: str | None = None) -> Address:
    """Find the server and the key for it.

    Args:
        base_url (str | None): Said by the caller; else `PERDURE_URL`, the address file, the default port of this machine.
        api_key (str | None): Said by the caller; else `PERDURE_API_KEY`, then the key file.

    Returns:
        Address: Without a key if there is none anywhere.

    Raises:
        ConfigError: The address is none, or the key is of letters that no key has.
    """
    data = data_folder()
    url = base_url or os.environ.get("PERDURE_URL") or _written_url(address_file(data)) or DEFAULT_URL
    key = api_key or os.environ.get("PERDURE_API_KEY") or _written_key(key_file(data))
    return Address(url=_checked_url(url), key=_checked_key(key))


def _written_url(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    url = found.get("url") if isinstance(found, dict) else None
    return url if isinstance(url, str) else None


def _written_key(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url:
        raise ConfigError(f"{url[:100]!r} is no address of a server", hint="An address looks like http://127.0.0.1:8321.")
    return url.rstrip("/")


def _checked_key(key: str | None) -> str | None:
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError("the API key holds characters that no key has", hint="A key looks like pdr_… and has 53 letters and digits.")
    return key
