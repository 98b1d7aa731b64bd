"""Where settings come from, brought into one form: path, value, origin."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from perdure.config.names import Where, dotted, is_list, suggestion, type_at
from perdure.config.settings import Settings
from perdure.errors.base import ConfigError

PREFIX = "PERDURE_"
ALIASES: Mapping[str, Where] = {"PERDURE_DATABASE_URL": ("store", "url"), "PERDURE_DATA": ("data",)}
NOT_SETTINGS = frozenset({"PERDURE_URL", "PERDURE_API_KEY", "PERDURE_ENV", "PERDURE_DEBUG", "PERDURE_LIFELINE", "PERDURE_MODELS"})
"""What clients and the command line read for themselves."""

__all__ = ["ALIASES", "NOT_SETTINGS", "PREFIX", "Given", "flatten", "from_environment", "nested", "unknown"]

_KUBERNETES = re.compile(r"PERDURE(_\w+)?_SERVICE_(HOST|PORT(_\w+)?)|PERDURE(_\w+)?_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")


class Given(NamedTuple):
    """One setting as somebody gave it."""

    path: Where
    value: Any
    origin: str


def flatten(tree: Mapping[str, Any], origin: str, base: Where = ()) -> Iterator[Given]:
    """Take a nested table apart.

    Args:
        tree (Mapping[str, Any]): For example a parsed file.
        origin (str): Where it is from.
        base (Where): Where in the settings it belongs.

    Yields:
        Given: One for each value; an empty table counts as a value.
    """
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, origin, (*base, str(name)))
        else:
            yield Given((*base, str(name)), value, origin)


def from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """Read `PERDURE_SECTION__NAME` variables. An empty one counts as not set.

    Variables that Kubernetes makes for a service named `perdure` are no settings.

    Args:
        environ (Mapping[str, str]): All variables.

    Yields:
        Given: One for each variable that is a setting, known or not.
    """
    for name in sorted(environ):
        text = environ[name]
        if not name.startswith(PREFIX) or not text or name in NOT_SETTINGS or _is_service_link(name, text):
            continue
        path = ALIASES.get(name) or tuple(name[len(PREFIX) :].lower().split("__"))
        yield Given(path, _value(path, text), name)


def nested(given: Sequence[Given]) -> dict[str, Any]:
    """Put settings together, later ones over earlier ones.

    Args:
        given (Sequence[Given]): Weakest first.

    Returns:
        dict[str, Any]: As `Settings` takes it.

    Raises:
        ConfigError: One source gives a section where another gives a single value.
    """
    tree: dict[str, Any] = {}
    for path, value, origin in given:
        here = tree
        for part in path[:-1]:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                raise ConfigError(f"{dotted(path)!r} ({origin}) needs a section {part!r}, but that is given as a single value")
        if value == {} and isinstance(here.get(path[-1]), dict):
            continue
        here[path[-1]] = dict(value) if isinstance(value, Mapping) else value
    return tree


def unknown(given: Given) -> str | None:
    """Say what is wrong with a setting's name.

    Args:
        given (Given): A setting.

    Returns:
        str | None: A sentence with a suggestion, in the spelling of its origin; None if it exists.
    """
    if type_at(Settings, given.path) is not None:
        return None
    environment = given.origin.startswith(PREFIX)
    what = "" if environment else f"{dotted(given.path)!r} "
    meant = suggestion(Settings, given.path)
    if meant is None:
        return f"{given.origin}: {what}is no setting"
    spelled = PREFIX + meant.upper().replace(".", "__") if environment else meant
    return f"{given.origin}: {what}is no setting; did you mean {spelled!r}?"


def _is_service_link(name: str, text: str) -> bool:
    if not _KUBERNETES.fullmatch(name):
        return False
    return "_SERVICE_" in name or bool(re.search(r"_PORT_\d+_", name)) or text.startswith(("tcp://", "udp://", "sctp://"))


def _value(path: Where, text: str) -> Any:
    kind = type_at(Settings, path)
    if text.startswith(("[", "{")) and kind is not None and kind is not str:
        try:
            return json.loads(text)
        except ValueError:
            return text
    if is_list(kind):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text
