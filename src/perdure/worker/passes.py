"""Tokens for runs: what lets a framework's client in at the endpoint of this worker.

A token says for which run it is and bears a seal that only this worker can make, so nothing has to be remembered of runs that
have ended: their tokens are known as such, and anything else as nobody's. It begins like a key of ours, so that it is struck out
wherever a key would be.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

import msgspec

__all__ = ["Pass", "Passes"]

_HEAD = "pdr_"
_NAME_BYTES = 16


class Pass(msgspec.Struct, frozen=True):
    """For whom a token is."""

    message: int
    lease: int


class Passes:
    """Makes and reads the tokens of one worker."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def make(self, whose: Pass) -> str:
        """Make a token.

        Args:
            whose (Pass): For whom.

        Returns:
            str: Nobody can guess it.
        """
        name = whose.message.to_bytes(8, "big") + whose.lease.to_bytes(8, "big")
        return _HEAD + (name + self._seal(name)).hex()

    def read(self, token: str) -> Pass | None:
        """Read a token.

        Args:
            token (str): What a client sent.

        Returns:
            Pass | None: For whom it is; None if this worker has not made it.
        """
        try:
            said = bytes.fromhex(token.removeprefix(_HEAD))
        except ValueError:
            return None
        name, seal = said[:_NAME_BYTES], said[_NAME_BYTES:]
        if not hmac.compare_digest(seal, self._seal(name)):
            return None
        return Pass(int.from_bytes(name[:8], "big"), int.from_bytes(name[8:], "big"))

    def _seal(self, name: bytes) -> bytes:
        return hmac.digest(self._secret, name, hashlib.sha256)
