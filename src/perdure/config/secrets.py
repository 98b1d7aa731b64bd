"""Secrets in settings are references, looked up when they are needed and not before.

`env:NAME` is a variable of the environment, `file:/run/secrets/key` a file. So neither a settings file
nor a listing of settings ever holds a secret. A plain value is taken only where the environment itself
brought it (`PERDURE_PROVIDERS__QWEN__API_KEY=sk-…`); `manager.py` refuses it in files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Secret, SecretStr

from perdure.errors.base import ConfigError, NotYetBuilt

_LARGEST_BYTES = 64 * 1024
_LATER = ("keyring:", "enc:")

__all__ = ["is_reference", "reveal"]


def is_reference(text: str) -> bool:
    """Tell a reference from a secret in plain text.

    Args:
        text (str): What the settings say.

    Returns:
        bool: True for `env:…`, `file:…`, `keyring:…` and `enc:…`.
    """
    return text.startswith(("env:", "file:", *_LATER))


def reveal(secret: SecretStr | Secret[str] | str | None, *, environ: Mapping[str, str] | None = None) -> str | None:
    """Look a secret up.

    Args:
        secret (SecretStr | Secret[str] | str | None): As the settings have it.
        environ (Mapping[str, str] | None): Where `env:` looks; None for this process's environment.

    Returns:
        str | None: The secret itself; None for None.

    Raises:
        ConfigError: The variable is not set, or the file cannot be read or is empty.
        NotYetBuilt: `keyring:` and `enc:`.
    """
    if secret is None:
        return None
    text = secret if isinstance(secret, str) else secret.get_secret_value()
    if text.startswith(_LATER):
        raise NotYetBuilt(
            f"secrets from {text.split(':', 1)[0]!r} are not built yet", hint="Use `env:NAME` or `file:/run/secrets/name` until then."
        )
    if text.startswith("env:"):
        return _from_environment(text[len("env:") :], os.environ if environ is None else environ)
    if text.startswith("file:"):
        return _from_file(Path(text[len("file:") :]))
    return text


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    found = environ.get(name, "")
    if not found:
        raise ConfigError(f"the settings take a secret from the variable {name!r}, which is not set", hint=f"export {name}=…")
    return found


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        found = content.decode("utf-8").strip()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"the settings take a secret from {str(path)!r}, which cannot be read: {type(error).__name__}") from error
    if not found or len(content) > _LARGEST_BYTES:
        raise ConfigError(f"the settings take a secret from {str(path)!r}, which is {'too large' if found else 'empty'}")
    return found
