"""The address and the key of a provider, refused at once where they cannot be right."""

from __future__ import annotations

from urllib.parse import urlsplit

from perdure.errors.base import ConfigError

__all__ = ["checked_key", "checked_url"]


def checked_url(name: str, url: str) -> str:
    """Check an address.

    Args:
        name (str): Whose, for the message.
        url (str): As in the settings.

    Returns:
        str: Without a slash at its end.

    Raises:
        ConfigError: It is no http(s) address, or has a password in it.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"`base_url` of {name!r} is no http(s) address: {url!r}", hint="For example https://api.openai.com/v1")
    if parts.username or parts.password:
        raise ConfigError(f"`base_url` of {name!r} contains a password", hint="Put it into `api_key` or `headers`.")
    return url.rstrip("/")


def checked_key(name: str, key: str | None) -> str | None:
    """Check a key.

    Args:
        name (str): Whose, for the message; the key itself is never repeated.
        key (str | None): As in the settings.

    Returns:
        str | None: The same.

    Raises:
        ConfigError: It has letters that no key has.
    """
    if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key):
        raise ConfigError(f"the key of {name!r} has letters that no key has", hint="A line break or a blank at its end?")
    return key
