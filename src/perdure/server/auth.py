"""Who is calling, and may they.

Theory of operation: a key is checked for its own checksum first, so typing errors and scanners cost no
look at the store. Then its SHA-256 digest is looked up - equal digests are found, never compared letter
by letter - and what was found is remembered for a few seconds, the revoked and the unknown included. A
store that does not answer is 503, never 401: a caller must not throw a good key away for our trouble.
"""

from __future__ import annotations

from collections import OrderedDict

from starlette.datastructures import Headers

from perdure.clock import Clock, Moment
from perdure.errors.base import Forbidden, Unauthenticated
from perdure.security.access import OPERATOR, allows
from perdure.security.keys import Key, KeyStore, digest, well_formed

REMEMBER_S = 5.0
"""A revoked key opens other servers' doors for at most this long; this server forgets it at once."""

_HINT = "Send the header `Authorization` with `Bearer`, a space and the key. The first key is in the data folder, in the file `key`."

__all__ = ["REMEMBER_S", "Gate", "bearer_of", "check_access"]


class Gate:
    """Lets callers in by their key.

    Args:
        keys (KeyStore): Where keys are kept.
        clock (Clock): Decides whether a key has expired.
        remembered (int): How many keys to remember at most.
    """

    def __init__(self, keys: KeyStore, clock: Clock, *, remembered: int = 10_000) -> None:
        self._keys = keys
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Moment, Key | None]] = OrderedDict()
        self._remembered = remembered

    async def let_in(self, secret: str) -> Key:
        """Find the key that a caller sent.

        Args:
            secret (str): The whole key.

        Returns:
            Key: A good one.

        Raises:
            Unauthenticated: It is none of ours, was revoked, or has expired.
            StoreError: The store did not answer; the key may be good.
        """
        if not well_formed(secret):
            raise Unauthenticated("this is no Perdure key", hint="A key begins with `pdr_`; perhaps it was cut off, or a letter is wrong.")
        return await self.by_digest(digest(secret))

    async def by_digest(self, found: bytes) -> Key:
        """Find a key by what is kept of it, as sessions of the dashboard do.

        Args:
            found (bytes): SHA-256 of the key.

        Returns:
            Key: A good one.

        Raises:
            Unauthenticated: It is none of ours, was revoked, or has expired.
            StoreError: The store did not answer; the key may be good.
        """
        now = self._clock.now()
        key = await self._look_up(found, now)
        if key is None:
            raise Unauthenticated("this key is not known here", hint=_HINT)
        if key.revoked_at is not None:
            raise Unauthenticated("this key was revoked", hint="Make another with `perdure keys create`.")
        if key.expires_at is not None and key.expires_at <= now:
            raise Unauthenticated("this key has expired", hint="Make another with `perdure keys create`.")
        return key

    def forget(self) -> None:
        """Look every key up again: one was made or revoked here."""
        self._known.clear()

    async def _look_up(self, found: bytes, now: Moment) -> Key | None:
        seen = self._known.get(found)
        if seen is not None and 0 <= now - seen[0] < REMEMBER_S:
            return seen[1]
        key = await self._keys.by_digest(found)
        self._known[found] = (now, key)
        self._known.move_to_end(found)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return key


def bearer_of(headers: Headers) -> str:
    """Find the key in a request's headers.

    Args:
        headers (Headers): Of the request.

    Returns:
        str: What claims to be a key.

    Raises:
        Unauthenticated: There is none, or more than one.
    """
    sent = headers.getlist("authorization")
    if not sent:
        raise Unauthenticated("no key was sent", hint=_HINT)
    scheme, _, secret = sent[0].partition(" ")
    if len(sent) > 1 or scheme.lower() != "bearer" or not secret.strip():
        raise Unauthenticated("the Authorization header holds no single bearer key", hint=_HINT)
    return secret.strip()


def check_access(key: Key, *, scope: str | None, operator: bool = False) -> None:
    """Make sure that a key may do something.

    Args:
        key (Key): A good key.
        scope (str | None): What is needed; None for anybody with a good key.
        operator (bool): Whether the thing concerns all tenants at once.

    Raises:
        Forbidden: It may not.
    """
    if scope is not None and not allows(key.scopes, scope):
        raise Forbidden(f"key {key.id!r} may not do this: it lacks the scope {scope!r}", hint=f"Make a key with it: `--scope {scope}`.")
    if operator and key.tenant != OPERATOR:
        raise Forbidden(
            f"key {key.id!r} belongs to tenant {key.tenant!r}, and this concerns all tenants",
            hint="Use an operator's key: one of tenant '*'.",
        )
