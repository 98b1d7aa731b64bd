"""The address of a database: the one setting that is not secret, but may hold a secret."""

from __future__ import annotations

import re

from pydantic import Secret

from perdure.config.secrets import is_reference

__all__ = ["DatabaseUrl", "holds_password"]

# Blunt on purpose, up to the last @ there is: a password may hold letters that should have been escaped.
_LOGIN = re.compile(r"(://[^:/@?#\s]*):.+@", re.DOTALL)
_PARAMETER = re.compile(r"([?&](?:ssl)?password=)[^&#]+", re.IGNORECASE)


class DatabaseUrl(Secret[str]):
    """`sqlite:///path`, `postgresql://user@host/name`, or a reference to one. Shown without its password."""

    def _display(self) -> str:
        return _shown(self.get_secret_value())


def holds_password(url: str) -> bool:
    """Tell whether an address says a password in plain text.

    Args:
        url (str): As the settings have it.

    Returns:
        bool: True for `postgresql://ann:secret@host/name`; False for a reference.
    """
    return not is_reference(url) and _shown(url) != url


def _shown(url: str) -> str:
    return _PARAMETER.sub(r"\1***", _LOGIN.sub(r"\1:***@", url))
