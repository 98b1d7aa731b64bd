"""Settings, merged from every source, checked as a whole, each with where it came from.

Weakest first: the defaults of `settings.py`, `perdure.toml`, `perdure.<env>.toml`, the environment, the
command line, `update`. Each source is taken apart into single settings, so that the merge is one line
and every value keeps its origin. A name nobody knows is an error with a suggestion, never ignored.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from perdure.config.database import DatabaseUrl, holds_password
from perdure.config.environments import read_files
from perdure.config.names import Where, dotted, is_secret, suggestion, type_at
from perdure.config.secrets import is_reference, reveal
from perdure.config.settings import Settings
from perdure.config.sources import Given, flatten, from_environment, nested, unknown
from perdure.errors.base import ConfigError, PerdureError

COMMAND_LINE = "command line"

__all__ = ["COMMAND_LINE", "ConfigManager"]


class ConfigManager:
    """Loads settings, says where each came from, and changes them only as a whole.

    Args:
        directory (Path | None): Where `perdure.toml` lies; None for the current folder.
        environ (Mapping[str, str] | None): Environment variables; None for this process's own.
        overrides (Mapping[str, Any] | None): The command line: dotted names to values.
    """

    def __init__(
        self, directory: Path | None = None, *, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
    ) -> None:
        self._directory = Path.cwd() if directory is None else directory
        self._environ = os.environ if environ is None else environ
        self._overrides = dict(overrides or {})
        self._given: list[Given] = []
        self._settings: Settings | None = None
        self._changing = threading.Lock()
        self.problems: list[str] = []
        """What the last `validate` found, one sentence each."""

    @property
    def settings(self) -> Settings:
        """Everything that `load` found.

        Raises:
            ConfigError: `load` was not called.
        """
        if self._settings is None:
            raise ConfigError("no settings are loaded", hint="Call `load(env)` first.")
        return self._settings

    def load(self, env: str = "") -> None:
        """Read every source again.

        Args:
            env (str): Whose `perdure.<env>.toml` to read; the empty string for none.

        Raises:
            ConfigError: A file cannot be read, a name is unknown, or a value is not allowed. It names
                every such place at once, and nothing is loaded.
        """
        files = [given for name, tree in read_files(self._directory, env) for given in flatten(tree, name)]
        line = [given for key, value in self._overrides.items() for given in _at(tuple(key.split(".")), value, COMMAND_LINE)]
        with self._changing:
            given = [*files, *from_environment(self._environ), *line]
            self._settings = self._build(given)
            self._given = given

    def get(self, key: str) -> Any:
        """Look one setting up.

        Args:
            key (str): Dotted: `server.port`, `providers.qwen.base_url`.

        Returns:
            Any: Its value; a whole section for a section's name.

        Raises:
            ConfigError: There is no such setting.
        """
        here: Any = self.settings
        for part in self._path(key):
            if isinstance(here, Mapping) and part in here:
                here = here[part]
            elif isinstance(here, BaseModel) and part in type(here).model_fields:
                here = getattr(here, part)
            else:
                meant = suggestion(Settings, key.split("."))
                raise ConfigError(f"{key!r} is no setting", hint=f"Did you mean {meant!r}?" if meant else None)
        return here

    def origin(self, key: str) -> str:
        """Say where a setting came from.

        Args:
            key (str): Dotted.

        Returns:
            str: `default`, a file's name, a variable's name, `command line` or `update`.

        Raises:
            ConfigError: There is no such setting.
        """
        self.get(key)
        return _origin(self._given, self._path(key))

    def validate(self) -> bool:
        """Check everything, also that every secret the settings refer to can be found.

        Returns:
            bool: True if all can be used; else `problems` says what is wrong.
        """
        self.problems = []
        try:
            settings = self._build(self._given)
        except ConfigError as error:
            self.problems = str(error).splitlines()
            return False
        secrets: dict[str, SecretStr | DatabaseUrl | None] = {"store.url": settings.store.url}
        secrets |= {f"providers.{name}.api_key": provider.api_key for name, provider in settings.providers.items()}
        for name, provider in settings.providers.items():
            secrets |= {f"providers.{name}.accounts.{account}": key for account, key in provider.accounts.items()}
        if settings.errors.webhook is not None:
            secrets["errors.webhook.secret"] = settings.errors.webhook.secret
        if settings.errors.sentry is not None:
            secrets["errors.sentry.dsn"] = settings.errors.sentry.dsn
        for name, secret in secrets.items():
            try:
                reveal(secret, environ=self._environ)
            except PerdureError as error:
                self.problems.append(f"{name}: {error.message}")
        return not self.problems

    def update(self, key: str, value: Any) -> None:
        """Change one setting of this process, if the whole is still valid then.

        Parts that were handed out before keep what they have.

        Args:
            key (str): Dotted.
            value (Any): Its new value; a table replaces a whole section.

        Raises:
            ConfigError: There is no such setting, or the value is not allowed; nothing has changed.
        """
        with self._changing:
            path = self._path(key)
            kept = [given for given in self._given if given.path[: len(path)] != path]
            given = [*kept, *_at(path, value, "update")]
            self._settings = self._build(given)
            self._given = given

    def _build(self, given: Sequence[Given]) -> Settings:
        problems = [problem for one in given if (problem := unknown(one) or _bare_secret(one))]
        if problems:
            raise ConfigError("\n".join(problems), hint="docs/reference/settings.md lists every setting.")
        try:
            settings = Settings.model_validate(nested(given))
        except ValidationError as error:
            raise ConfigError("\n".join(_sentences(error, given))) from None  # pydantic's own text would repeat secrets
        if settings.config_version != 1:
            raise ConfigError(f"config_version {settings.config_version} is not known to this Perdure", hint="Update Perdure, or write 1.")
        return settings.model_copy(update={"data": self._directory / settings.data.expanduser()})

    def _path(self, key: str) -> Where:
        """Split a dotted name; names of providers and models may hold dots themselves."""
        parts = key.split(".")
        path: Where = ()
        here: Any = self._settings
        while parts:
            take = 1
            if isinstance(here, Mapping):
                take = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in here), 1)
            name, parts = ".".join(parts[:take]), parts[take:]
            here = here.get(name) if isinstance(here, Mapping) else getattr(here, name, None)
            path = (*path, name)
        return path


def _at(path: Where, value: Any, origin: str) -> list[Given]:
    if isinstance(value, Mapping) and value:
        return list(flatten(value, origin, path))
    return [Given(path, value, origin)]


def _origin(given: Sequence[Given], path: Where) -> str:
    for where, _, origin in given[::-1]:
        if where[: len(path)] == path or path[: len(where)] == where:
            return origin
    return "default"


def _bare_secret(given: Given) -> str | None:
    kind = type_at(Settings, given.path)
    if not is_secret(kind) or given.value is None or not given.origin.endswith((".toml", COMMAND_LINE)):
        return None
    secret = given.value.get_secret_value() if isinstance(given.value, SecretStr | DatabaseUrl) else str(given.value)
    if not holds_password(secret) if kind is DatabaseUrl else is_reference(secret):
        return None
    return f"{given.origin}: {dotted(given.path)!r} holds a secret in plain text; write 'env:NAME' or 'file:/path' instead"


def _sentences(error: ValidationError, given: Sequence[Given]) -> list[str]:
    sentences = []
    for problem in error.errors(include_url=False):
        path = tuple(str(part) for part in problem["loc"])
        shown = "" if "headers" in path or is_secret(type_at(Settings, path)) else f" = {problem['input']!r:.80}"
        sentences.append(f"{_origin(given, path)}: {dotted(path)}{shown}: {problem['msg']}")
    return sentences
