"""API keys, by their digest."""

from __future__ import annotations

import builtins

import msgspec

from perdure.errors.base import Conflict, NotFound
from perdure.security.audit import Actor
from perdure.security.keys import Key, KeyStore
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqlKeys"]

_ADD, _FIND, _BY_ID, _SET, _LIST = (statement(f"key_{verb}") for verb in ("add", "find", "by_id", "set", "list"))
_decode = msgspec.json.Decoder(Key).decode


class SqlKeys(KeyStore):
    """Keeps keys.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, key: Key, digest: bytes, *, by: Actor | None = None) -> None:
        """Keep a new key."""
        await self._engine.write(_add, key, digest, by)

    async def by_digest(self, digest: bytes) -> Key | None:
        """Find a key, whether still good or not."""
        return await self._engine.read(_find, digest)

    async def revoke(self, id: str, *, by: Actor | None = None) -> Key:
        """Let a key open nothing any more."""
        return await self._engine.write(_revoke, id, by)

    async def list(self) -> builtins.list[Key]:
        """List all keys, newest first."""
        return await self._engine.read(_all)


def _add(tx: Transaction, key: Key, digest: bytes, by: Actor | None) -> None:
    if tx.run(_FIND, (digest,)).get is not None or tx.run(_BY_ID, (key.id,)).get is not None:
        raise Conflict("this key is there already", hint="Make a new one.")
    tx.run(_ADD, (digest, key.id, msgspec.json.encode(key)))
    tx.audit(by, "key.create", key.id, name=key.name, tenant=key.tenant, scopes=list(key.scopes))


def _find(run: Run, digest: bytes) -> Key | None:
    card = run(_FIND, (digest,)).get
    return None if card is None else _decode(card)


def _revoke(tx: Transaction, id: str, by: Actor | None) -> Key:
    card = tx.run(_BY_ID, (id,)).get
    if card is None:
        raise NotFound(f"there is no key {id!r}", hint="`perdure keys list` shows all.")
    key = _decode(card)
    if key.revoked_at is None:
        key = msgspec.structs.replace(key, revoked_at=tx.now)
        tx.run(_SET, (msgspec.json.encode(key), id))
        tx.audit(by, "key.revoke", id, name=key.name, tenant=key.tenant)
    return key


def _all(run: Run) -> list[Key]:
    return [_decode(card) for (card,) in run(_LIST)]
