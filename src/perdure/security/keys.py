"""API keys: how they look, what is kept of them, and what they allow.

A key is `pdr_` + 43 letters of randomness (256 bits, base 62) + 6 letters of CRC-32, so that a typing
error or a scanner needs no database. Only its SHA-256 digest is kept: a key of that entropy needs no
slow hash. What a key may do is a set of scopes `resource:action` (`messages:write`), with `*` for all.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from collections.abc import Sequence
from typing import Protocol

import msgspec

from perdure.clock import Moment
from perdure.security.audit import Actor

PREFIX = "pdr_"
_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECK = 43, 6
LENGTH = len(PREFIX) + _RANDOM + _CHECK

__all__ = ["LENGTH", "PREFIX", "Key", "KeyStore", "digest", "make_key", "well_formed"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key as kept: never the key itself."""

    id: str
    """`key_…`, for people and logs."""
    name: str
    tenant: str
    scopes: Sequence[str]
    last4: str
    created_at: Moment
    expires_at: Moment | None = None
    revoked_at: Moment | None = None


class KeyStore(Protocol):
    """Keeps keys. Proved by `perdure.testing.KeyStoreKit`."""

    async def add(self, key: Key, digest: bytes, *, by: Actor | None = None) -> None:
        """Keep a new key.

        Args:
            key (Key): What is known of it.
            digest (bytes): SHA-256 of the key, 32 bytes.
            by (Actor | None): Who made it, for the audit log.

        Raises:
            Conflict: The digest is there already.
        """
        ...

    async def by_digest(self, digest: bytes) -> Key | None:
        """Find a key, whether still good or not.

        Args:
            digest (bytes): SHA-256 of what the caller sent, 32 bytes.

        Returns:
            Key | None: None if there is none.
        """
        ...

    async def revoke(self, id: str, *, by: Actor | None = None) -> Key:
        """Let a key open nothing any more.

        Args:
            id (str): `key_…`.
            by (Actor | None): Who does it, for the audit log.

        Returns:
            Key: As it is now. Revoking twice changes nothing.

        Raises:
            NotFound: No such key.
        """
        ...

    async def list(self) -> Sequence[Key]:
        """List all keys, newest first.

        Returns:
            Sequence[Key]: Revoked and expired ones too.
        """
        ...


def make_key(name: str, *, tenant: str, scopes: Sequence[str], now: Moment, expires_at: Moment | None = None) -> tuple[Key, str]:
    """Make a new key, to be kept with `KeyStore.add(key, digest(secret))`.

    Args:
        name (str): What people call it.
        tenant (str): Whose messages it opens; `*` for all.
        scopes (Sequence[str]): What it allows (`access.SCOPES`).
        now (Moment): The time.
        expires_at (Moment | None): From when on it opens nothing.

    Returns:
        tuple[Key, str]: What is kept of it, and the key itself, which nobody can show again.
    """
    body = PREFIX + _write(secrets.randbits(256), _RANDOM)
    secret = body + _checksum(body)
    return (
        Key(
            id="key_" + secrets.token_hex(8),
            name=name,
            tenant=tenant,
            scopes=tuple(scopes),
            last4=secret[-4:],
            created_at=now,
            expires_at=expires_at,
        ),
        secret,
    )


def digest(secret: str) -> bytes:
    """Make of a key what is kept of it.

    Args:
        secret (str): The whole key.

    Returns:
        bytes: SHA-256, 32 bytes.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def well_formed(secret: str) -> bool:
    """Tell a key from a typing error, without asking the store.

    Args:
        secret (str): What the caller sent.

    Returns:
        bool: True if it could be one of ours. Says nothing of whether it is.
    """
    body, check = secret[:-_CHECK], secret[-_CHECK:]
    return len(secret) == LENGTH and secret.startswith(PREFIX) and secret.isascii() and secrets.compare_digest(_checksum(body), check)


def _write(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, value = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[value])
    return "".join(reversed(letters))


def _checksum(body: str) -> str:
    return _write(zlib.crc32(body.encode("ascii")), _CHECK)
