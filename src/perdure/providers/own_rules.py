"""Rules for errors that people write into their settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from perdure.config.errors import ErrorRuleSettings
from perdure.config.expressions import SafeExpression
from perdure.errors.base import Billed, Category, ProviderError, Scope
from perdure.providers.rule import Rule

__all__ = ["PREFIX", "own_rules"]

PREFIX = "own:"
"""Begins the id of such a rule, so that it is never taken for one of ours."""


def own_rules(written: Mapping[str, ErrorRuleSettings], *, provider: str, dialect: str | None) -> tuple[Rule, ...]:
    """Make the rules that count for a provider.

    Args:
        written (Mapping[str, ErrorRuleSettings]): The settings' rules by name.
        provider (str): Its name.
        dialect (str | None): What it speaks.

    Returns:
        tuple[Rule, ...]: In the order in which they are written.
    """
    return tuple(_rule(name, one) for name, one in written.items() if one.provider in (None, provider) and one.dialect in (None, dialect))


def _rule(name: str, written: ErrorRuleSettings) -> Rule:
    return Rule(
        f"{PREFIX}{name}",
        _KINDS[Category(written.becomes)],
        status=tuple(written.status),
        sure=bool(written.status),
        code=None if written.code is None else SafeExpression(written.code, whole=True),
        message=None if written.message is None else SafeExpression(written.message),
        scope=None if written.scope is None else Scope(written.scope),
        billed=None if written.billed is None else Billed(written.billed),
        retryable=written.retryable,
        wait_s=written.retry_after_s,
        until=written.until,
        hint=written.hint,
    )


def _below(kind: type[ProviderError]) -> Iterator[type[ProviderError]]:
    for child in kind.__subclasses__():
        yield from _below(child)
        yield child


_KINDS: dict[Category, type[ProviderError]] = {
    kind.category: kind for kind in _below(ProviderError) if kind.__module__ == ProviderError.__module__
}
