"""API keys, in memory."""

from __future__ import annotations

import builtins

import msgspec

from perdure.errors.base import Conflict, NotFound
from perdure.security.audit import Actor
from perdure.security.keys import Key, KeyStore
from perdure.stores.inmemory.contents import Contents

__all__ = ["InMemoryKeys"]


class InMemoryKeys(KeyStore):
    """Keeps keys by their digest, in the order they came.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def add(self, key: Key, digest: bytes, *, by: Actor | None = None) -> None:
        """Keep a new key."""
        with self._contents.open():
            if digest in self._contents.keys:
                raise Conflict("this key is there already", hint="Make a new one.")
            self._contents.keys[digest] = key
            self._contents.note_deed(by, "key.create", key.id, name=key.name, tenant=key.tenant, scopes=list(key.scopes))

    async def by_digest(self, digest: bytes) -> Key | None:
        """Find a key, whether still good or not."""
        with self._contents.open():
            return self._contents.keys.get(digest)

    async def revoke(self, id: str, *, by: Actor | None = None) -> Key:
        """Let a key open nothing any more."""
        with self._contents.open() as now:
            for digest, key in self._contents.keys.items():
                if key.id == id:
                    if key.revoked_at is not None:
                        return key
                    revoked = msgspec.structs.replace(key, revoked_at=now)
                    self._contents.keys[digest] = revoked
                    self._contents.note_deed(by, "key.revoke", id, name=key.name, tenant=key.tenant)
                    return revoked
            raise NotFound(f"there is no key {id!r}", hint="`perdure keys list` shows all.")

    async def list(self) -> builtins.list[Key]:
        """List all keys, newest first."""
        with self._contents.open():
            return builtins.list(reversed(self._contents.keys.values()))
