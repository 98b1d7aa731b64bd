"""The files settings come from: `perdure.toml`, and `perdure.<env>.toml` for one environment."""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from perdure.errors.base import ConfigError

BASE_FILE = "perdure.toml"

__all__ = ["BASE_FILE", "read_files"]

_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.IGNORECASE)


def read_files(directory: Path, env: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Read the files of an environment, weakest first. None of them has to exist.

    Args:
        directory (Path): Where they lie.
        env (str): `production`, `staging`, …; the empty string for none.

    Returns:
        list[tuple[str, dict[str, Any]]]: File name and what it says, for those that are there.

    Raises:
        ConfigError: A file cannot be read or is no TOML, or only other environments have files.
    """
    names = [BASE_FILE]
    if env:
        names.append(_file_of(directory, env))
    return [(name, _read(directory / name)) for name in names if (directory / name).exists()]


def _file_of(directory: Path, env: str) -> str:
    if not _ENVIRONMENT.fullmatch(env):
        raise ConfigError(f"{env[:60]!r} is no name for an environment", hint="Use letters, digits, '-' and '_': `production`.")
    name = f"perdure.{env}.toml"
    there = sorted(path.name[len("perdure.") : -len(".toml")] for path in directory.glob("perdure.*.toml"))
    if there and env not in there:
        close = get_close_matches(env, there, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There is {', '.join(map(repr, there))}."
        raise ConfigError(f"there is no {name!r} for the environment {env!r}", hint=hint)
    return name


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not valid TOML: {error}", hint="Strings need quotes, sections look like `[server]`.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}") from error
