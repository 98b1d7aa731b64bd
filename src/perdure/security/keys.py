"""API keys: how they look, what is kept of them, and what they allow.

A key is `pdr_` + 43 letters of randomness (256 bits, base 62) + 6 letters of CRC-32, so that a typing
error or a scanner needs no database. Only its SHA-256 digest is kept: a key of that entropy needs no
slow hash. What a key may do is a set of scopes `resource:action` (`messages:write`), with `*` for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from perdure.clock import Moment

__all__ = ["Key", "KeyStore"]


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

    async def add(self, key: Key, digest: bytes) -> None:
        """Keep a new key.

        Args:
            key (Key): What is known of it.
            digest (bytes): SHA-256 of the key, 32 bytes.

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

    async def revoke(self, id: str) -> Key:
        """Let a key open nothing any more.

        Args:
            id (str): `key_…`.

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
