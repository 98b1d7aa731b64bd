"""What `/api/v1` says of providers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from perdure.clock import iso
from perdure.providers.checkup import Checkup
from perdure.providers.health import Health
from perdure.providers.protocol import ChatProvider
from perdure.server.answers import ErrorJson, Time

__all__ = ["CheckupJson", "ProviderHealthJson", "ProviderJson"]


class ProviderJson(msgspec.Struct, kw_only=True):
    """Who answers prompts; never the key."""

    object: Literal["provider"] = "provider"
    name: str
    kind: str
    base_url: str | None
    dialect: str | None
    models: list[str]
    metrics: dict[str, Any] | None
    """What it did since this process started; None if it does not say."""
    health: ProviderHealthJson | None
    """How workers found it when they looked; null where none has."""

    @classmethod
    def of(cls, name: str, provider: ChatProvider, health: Health | None) -> ProviderJson:
        """Write a provider.

        Args:
            name (str): As in the settings.
            provider (ChatProvider): Ours or a stranger's.
            health (Health | None): As the store keeps it.

        Returns:
            ProviderJson: For the wire.
        """
        metrics = getattr(provider, "get_metrics", None)
        return cls(
            name=name,
            kind=type(provider).__name__,
            base_url=getattr(provider, "base_url", None),
            dialect=getattr(provider, "dialect", None),
            models=list(getattr(provider, "declared", ())),
            metrics=None if metrics is None else metrics(),
            health=None if health is None else ProviderHealthJson.of(health),
        )


class ProviderHealthJson(msgspec.Struct, kw_only=True):
    """How the looks on a schedule found a provider."""

    object: Literal["provider.health"] = "provider.health"
    provider: str
    ok: bool | None
    """Whether it counts as one that can be used; null while nobody knows."""
    since: Time | None
    """When it turned to that."""
    failures: int
    """So many looks in a row found it unusable."""
    looked_at: Time | None
    found: CheckupJson | None
    """By the last look."""

    @classmethod
    def of(cls, health: Health) -> ProviderHealthJson:
        """Write how a provider is.

        Args:
            health (Health): As the store keeps it.

        Returns:
            ProviderHealthJson: For the wire.
        """
        return cls(
            provider=health.provider,
            ok=health.well,
            since=iso(health.since),
            failures=health.failures,
            looked_at=iso(health.looked_at),
            found=None if health.found is None else CheckupJson.of(health.found),
        )


class CheckupJson(msgspec.Struct, kw_only=True):
    """Whether a provider can be used."""

    object: Literal["checkup"] = "checkup"
    provider: str
    ok: bool
    reachable: bool | None
    key_good: bool | None
    models_there: bool | None
    latency_s: float
    at: Time
    error: ErrorJson | None

    @classmethod
    def of(cls, found: Checkup) -> CheckupJson:
        """Write what was found.

        Args:
            found (Checkup): Of one provider.

        Returns:
            CheckupJson: For the wire.
        """
        return cls(
            provider=found.provider,
            ok=found.ok,
            reachable=found.reachable,
            key_good=found.key_good,
            models_there=found.models_there,
            latency_s=round(found.latency_s, 4),
            at=iso(found.at) or "",
            error=ErrorJson.of(found.error),
        )
