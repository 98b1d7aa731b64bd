"""The kit that proves a store of API keys (DESIGN 6: only a digest is kept)."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from perdure.errors.base import Conflict, NotFound
from perdure.security.keys import Key
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.kit import Kit

__all__ = ["KeyStoreKit"]


def api_key(id: str, clock: FakeClock, **changes: Any) -> Key:
    """Write what is known of a key.

    Args:
        id (str): `key_…`.
        clock (FakeClock): The store's time.
        **changes (Any): What is different about it.

    Returns:
        Key: For `add`.
    """
    fields: dict[str, Any] = {
        "id": id,
        "name": "ops",
        "tenant": "acme",
        "scopes": ["messages:read"],
        "last4": "x9Yz",
        "created_at": clock.now(),
    }
    return Key(**(fields | changes))


def digest(secret: str) -> bytes:
    """Digest a secret as the doors do.

    Args:
        secret (str): What a caller sends.

    Returns:
        bytes: 32 of them.
    """
    return hashlib.sha256(secret.encode()).digest()


class KeyStoreKit(Kit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and your store of keys is proved."""

    async def test_a_key_is_found_by_its_digest(self, store: Store, clock: FakeClock) -> None:
        key = api_key("key_1", clock, name="büro", scopes=["messages:*", "keys:read"], expires_at=clock.now() + 60)
        await store.keys.add(key, digest("one"))
        found = await store.keys.by_digest(digest("one"))
        assert msgspec.to_builtins(found) == msgspec.to_builtins(key)

    async def test_an_unknown_digest_finds_nothing(self, store: Store, clock: FakeClock) -> None:
        await store.keys.add(api_key("key_1", clock), digest("one"))
        for unknown in (digest("two"), b"", digest("one")[:31]):
            assert await store.keys.by_digest(unknown) is None

    async def test_a_digest_is_kept_once(self, store: Store, clock: FakeClock) -> None:
        await store.keys.add(api_key("key_1", clock), digest("one"))
        with pytest.raises(Conflict):
            await store.keys.add(api_key("key_2", clock), digest("one"))
        found = await store.keys.by_digest(digest("one"))
        assert found is not None
        assert found.id == "key_1"

    async def test_a_revoked_key_is_still_found_and_says_so(self, store: Store, clock: FakeClock) -> None:
        await store.keys.add(api_key("key_1", clock), digest("one"))
        clock.pass_by(seconds=5)
        revoked = await store.keys.revoke("key_1")
        assert revoked.revoked_at == clock.now()
        assert await store.keys.by_digest(digest("one")) == revoked

    async def test_revoking_twice_changes_nothing(self, store: Store, clock: FakeClock) -> None:
        await store.keys.add(api_key("key_1", clock), digest("one"))
        first = await store.keys.revoke("key_1")
        clock.pass_by(seconds=5)
        assert await store.keys.revoke("key_1") == first

    async def test_revoking_an_unknown_key_says_so(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await store.keys.revoke("key_404")

    async def test_an_expired_key_is_still_found(self, store: Store, clock: FakeClock) -> None:
        await store.keys.add(api_key("key_1", clock, expires_at=clock.now() + 1), digest("one"))
        clock.pass_by(seconds=5)
        assert await store.keys.by_digest(digest("one")) is not None

    async def test_the_newest_key_is_listed_first(self, store: Store, clock: FakeClock) -> None:
        for n in range(3):
            await store.keys.add(api_key(f"key_{n}", clock), digest(str(n)))
            clock.pass_by(seconds=1)
        await store.keys.revoke("key_1")
        assert [key.id for key in await store.keys.list()] == ["key_2", "key_1", "key_0"]
