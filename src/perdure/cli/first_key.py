"""The first key: given by the environment, found in its file, or made; never in a log or an output.

Without any key nobody gets in, so the first start makes one with all rights. On a terminal it is shown
there, once; otherwise only the file has it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from perdure.cli.private_files import write_private
from perdure.client.address import key_file
from perdure.clock import now
from perdure.errors.base import ConfigError
from perdure.security.access import OPERATOR
from perdure.security.keys import Key, KeyStore, digest, make_key, well_formed

__all__ = ["FirstKey", "ensure_first_key"]


class FirstKey(msgspec.Struct, frozen=True):
    """Where the key is, and the key itself if it was made just now."""

    where: str
    made: str | None = None


async def ensure_first_key(keys: KeyStore, data: Path) -> FirstKey:
    """Make sure that there is a key.

    Args:
        keys (KeyStore): Where keys are kept.
        data (Path): The data folder, which is there.

    Returns:
        FirstKey: Where the person who starts the server finds it.

    Raises:
        ConfigError: `PERDURE_API_KEY` is no key.
    """
    file, given = key_file(data), os.environ.get("PERDURE_API_KEY")
    if any(key.revoked_at is None for key in await keys.list()):
        if given:
            return FirstKey("the variable PERDURE_API_KEY")
        return FirstKey(str(file) if file.exists() else "nobody's file here; `perdure keys create NAME` makes another")
    if given:
        await _keep(keys, given, "PERDURE_API_KEY")
        return FirstKey("the variable PERDURE_API_KEY")
    found = file.read_text(encoding="ascii", errors="replace").strip() if file.exists() else None
    if found and well_formed(found):
        await _keep(keys, found, str(file))  # written by a start that got no further
        return FirstKey(str(file))
    key, secret = make_key("first", tenant=OPERATOR, scopes=["*"], now=now())
    write_private(file, secret.encode() + b"\n")
    await keys.add(key, digest(secret))
    return FirstKey(str(file), made=secret)


async def _keep(keys: KeyStore, secret: str, origin: str) -> None:
    if not well_formed(secret):
        raise ConfigError(f"what {origin} holds is no key", hint="A key looks like pdr_… with a checksum; `perdure keys create` makes one.")
    key = Key(id="key_" + secrets.token_hex(8), name="first", tenant=OPERATOR, scopes=("*",), last4=secret[-4:], created_at=now())
    await keys.add(key, digest(secret))
