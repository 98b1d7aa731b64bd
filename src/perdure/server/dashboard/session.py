"""Sessions of the dashboard: a signed cookie that stands for a key, and tokens that only our pages know.

The cookie holds the key's digest - what the store keeps, not what opens a door - so every page asks the
gate again: a revoked key ends its sessions within seconds. It is HttpOnly and SameSite=Strict, and every
form carries a token made from it; a page of somebody else's can neither read the one nor make the other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass
from urllib.parse import unquote

from perdure.clock import Moment

SESSION_S = 12 * 3600
COOKIE = "perdure_session"
LOGIN_COOKIE = "perdure_login"
_DIGEST, _NONCE, _MAC = 32, 12, 32

__all__ = ["COOKIE", "LOGIN_COOKIE", "SESSION_S", "Session", "Sessions", "cookie_header", "cookie_in"]


@dataclass(frozen=True)
class Session:
    """Somebody logged in."""

    digest: bytes
    """Of their key."""
    began_at: Moment
    csrf: str
    """What each of their forms must carry."""


class Sessions:
    """Makes and reads the cookies.

    Args:
        secret (bytes): Signs them.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def begin(self, digest: bytes, now: Moment) -> str:
        """Log somebody in.

        Args:
            digest (bytes): Of their key.
            now (Moment): The time.

        Returns:
            str: The cookie's value.
        """
        said = digest + struct.pack(">d", now) + secrets.token_bytes(_NONCE)
        return _text(said + self._sign(b"session", said))

    def read(self, cookie: str, now: Moment) -> Session | None:
        """Look at a cookie.

        Args:
            cookie (str): Its value, as anybody may have made it up.
            now (Moment): The time.

        Returns:
            Session | None: None if it is not ours, or too old.
        """
        raw = _bytes(cookie)
        if raw is None or len(raw) != _DIGEST + 8 + _NONCE + _MAC:
            return None
        said, mac = raw[:-_MAC], raw[-_MAC:]
        if not hmac.compare_digest(mac, self._sign(b"session", said)):
            return None
        (began_at,) = struct.unpack(">d", said[_DIGEST : _DIGEST + 8])
        if not 0 <= now - began_at < SESSION_S:
            return None
        return Session(said[:_DIGEST], began_at, _text(self._sign(b"csrf", said)))

    def login_token(self, nonce: str) -> str:
        """Make what the login form must carry, from a cookie set together with it.

        Args:
            nonce (str): The cookie's value.

        Returns:
            str: The token.
        """
        return _text(self._sign(b"login", nonce.encode("utf-8", "replace")))

    def _sign(self, purpose: bytes, said: bytes) -> bytes:
        return hmac.digest(self._secret, purpose + b":" + said, hashlib.sha256)


def cookie_header(name: str, value: str, *, max_age_s: int, secure: bool) -> tuple[str, str]:
    """Write a cookie.

    Args:
        name (str): Its name.
        value (str): Its value; the empty string with a `max_age_s` of 0 takes it back.
        max_age_s (int): How long a browser keeps it.
        secure (bool): Whether it may travel over TLS only.

    Returns:
        tuple[str, str]: A header.
    """
    return ("set-cookie", f"{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}")


def cookie_in(header: str, name: str) -> str:
    """Find a cookie.

    Args:
        header (str): The request's `Cookie` header.
        name (str): Which.

    Returns:
        str: Its value; empty if it is not there.
    """
    for part in header.split(";"):
        found, _, value = part.strip().partition("=")
        if found == name:
            return unquote(value)
    return ""


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes | None:
    if not text.isascii() or len(text) > 400:
        return None
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
