"""Makes a provider of its settings: a table of kinds, and what other packages add to it.

A package adds a kind by an entry point of the group `perdure.providers`, whose name is the kind and whose
object is called with the provider's name and what its settings say. `module:Name` as a kind does the same
without a package. What comes back is a `ChatProvider`, or any object with the three methods of
`LLMProvider`, which is then run in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeAlias, cast

from perdure.config.kinds import GROUP, OWN_KINDS, foreign_kinds
from perdure.config.secrets import reveal
from perdure.config.settings import ProviderSettings
from perdure.errors.base import ConfigError
from perdure.providers.catalog import QWEN_REGIONS, ROWS, row_named, row_of
from perdure.providers.foreign import ForeignProvider
from perdure.providers.generic import GenericProvider
from perdure.providers.local import LocalProvider
from perdure.providers.others import OtherProvider
from perdure.providers.protocol import ChatProvider, LLMProvider
from perdure.providers.qwen import QwenProvider
from perdure.providers.row import Row
from perdure.providers.target import base_of

__all__ = ["address_of", "known_kinds", "make_provider", "spoken_by"]

Maker: TypeAlias = Callable[[str, ProviderSettings, Path], ChatProvider]


def make_provider(name: str, row: ProviderSettings, *, data: Path) -> ChatProvider:
    """Make a provider.

    Args:
        name (str): As in the settings.
        row (ProviderSettings): What they say.
        data (Path): The data folder, for the embedded model.

    Returns:
        ChatProvider: Close it at the end.

    Raises:
        ConfigError: It lacks something, its key cannot be found, or nobody knows its kind.
    """
    maker = _KINDS.get(row.kind)
    return maker(name, row, data) if maker is not None else _foreign(name, row, _found(name, row.kind))


def known_kinds() -> dict[str, str]:
    """List what can stand after `kind =`, without loading anything.

    Returns:
        dict[str, str]: Kind to `perdure`, or to the package that brings it.
    """
    return {**dict.fromkeys(OWN_KINDS, "perdure"), **foreign_kinds()}


def address_of(name: str, row: ProviderSettings) -> str | None:
    """Say where a provider answers, as far as that decides what it asks for.

    Args:
        name (str): As in the settings.
        row (ProviderSettings): What they say.

    Returns:
        str | None: A workspace's own domain has the prices of its region; None for kinds of others.
    """
    if row.kind not in {"generic", "qwen"} or row.base_url is not None:
        return row.base_url
    known = row_named(row.dialect) or (row_named(base_of(name)) if row.kind == "generic" else None)
    if row.kind == "qwen" and (known is None or known.dialect == "dashscope"):
        return QWEN_REGIONS[row.region or "intl"]
    return known.base_url if known else None


def spoken_by(name: str, row: ProviderSettings) -> str | None:
    """Say what a provider of the settings speaks, without making it: its key need not be there.

    Args:
        name (str): As in the settings.
        row (ProviderSettings): What they say.

    Returns:
        str | None: Its dialect, if one is known.
    """
    known = _row(name, row) or row_of(row.base_url or "") or (row_named(name) if row.base_url is None else None)
    return known.dialect if known is not None else "dashscope" if row.kind == "qwen" else None


def _generic(name: str, row: ProviderSettings, _: Path) -> ChatProvider:
    known = _row(name, row) or (row_named(base_of(name)) if row.base_url is None else None)
    base_url = row.base_url or (known.base_url if known else None)
    if base_url is None:
        raise ConfigError(f"`providers.{name}.base_url` is missing", hint="For example `https://api.openai.com/v1`.")
    return GenericProvider(
        name,
        base_url=base_url,
        api_key=reveal(row.api_key),
        timeout_s=row.timeout_s,
        native_tools=row.native_tools,
        headers=row.headers,
        models=row.models,
        background=row.background,
        dialect=known.name if known else None,
        context_tokens=row.context_tokens,
    )


def _qwen(name: str, row: ProviderSettings, _: Path) -> ChatProvider:
    known = _row(name, row)
    own = None if known is None or known.dialect == "dashscope" else known.base_url
    return QwenProvider(
        name,
        api_key=reveal(row.api_key),
        region=row.region or "intl",
        workspace=row.workspace,
        base_url=row.base_url or own,
        dialect=known.name if known else "dashscope",
        timeout_s=row.timeout_s,
        models=row.models,
        headers=row.headers,
        enable_thinking=row.enable_thinking,
        thinking_budget=row.thinking_budget,
        native_tools=row.native_tools,
        context_tokens=row.context_tokens,
    )


def _row(name: str, row: ProviderSettings) -> Row | None:
    found = row_named(row.dialect)
    if row.dialect is not None and found is None:
        known = ", ".join(one.name for one in ROWS)
        raise ConfigError(f"`providers.{name}.dialect` is {row.dialect!r}, which nobody knows", hint=f"There is: {known}.")
    return found


def _local(name: str, row: ProviderSettings, data: Path) -> ChatProvider:
    return LocalProvider(name, data=data, timeout_s=row.timeout_s)


def _other(service: str) -> Maker:
    def make(name: str, row: ProviderSettings, _: Path) -> ChatProvider:
        return OtherProvider(
            name,
            service=service,
            api_key=reveal(row.api_key),
            base_url=row.base_url,
            timeout_s=row.timeout_s,
            models=row.models,
            options=row.options,
        )

    return make


_KINDS: dict[str, Maker] = {
    "generic": _generic,
    "qwen": _qwen,
    "local": _local,
    "anthropic": _other("anthropic"),
    "bedrock": _other("bedrock"),
    "vertex": _other("vertexai"),
}


def _found(name: str, kind: str) -> Callable[..., Any]:
    entry = EntryPoint(name=kind, value=kind, group=GROUP) if ":" in kind else next(iter(entry_points(group=GROUP, name=kind)), None)
    if entry is None:
        known = ", ".join(known_kinds())
        raise ConfigError(f"`providers.{name}.kind` is {kind!r}, which nobody knows", hint=f"There is: {known}; or `module:Name`.")
    try:
        return cast("Callable[..., Any]", entry.load())
    except Exception as error:
        what = f"`providers.{name}.kind`: {entry.value!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(what, hint="Import it in Python to see where.") from error


def _foreign(name: str, row: ProviderSettings, make: Callable[..., Any]) -> ChatProvider:
    given = _said(row)
    try:
        made = make(name, **given)
    except TypeError as error:
        what = f"`providers.{name}` cannot be made with {', '.join(given) or 'nothing'}: {error}"
        raise ConfigError(what, hint="It is called with the provider's name and what its settings say.") from error
    if all(callable(getattr(made, method, None)) for method in ("chat", "stream", "models", "aclose")):
        return cast("ChatProvider", made)
    if isinstance(made, LLMProvider):
        return ForeignProvider(name, made, timeout_s=row.timeout_s, models=row.models or ("default",))
    raise ConfigError(f"{type(made).__name__} is no provider", hint="It needs `generate`, `get_metrics` and `validate`.")


_SAID = ("base_url", "models", "timeout_s", "headers", "native_tools", "context_tokens")
"""What a stranger's provider is told where the settings say it; limits, prices and accounts are kept above it."""


def _said(row: ProviderSettings) -> Mapping[str, Any]:
    said = {name: getattr(row, name) for name in row.model_fields_set - {"kind", "options", "api_key", "accounts"}}
    key = {"api_key": reveal(row.api_key)} if row.api_key is not None else {}
    return {**said, **key, **row.options}
