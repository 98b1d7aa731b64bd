"""Finds out whether a provider can be used, and says it as data: for the command line, the API, and whoever watches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from perdure.clock import Moment, awake, now
from perdure.errors.base import Category, ErrorFacts, ProviderTimeout
from perdure.errors.report import facts_of
from perdure.providers.protocol import ChatProvider

__all__ = ["Checkup", "Proved", "checkup_of", "examine", "late", "look_at"]

_NOT_REACHED = frozenset({Category.NETWORK, Category.TIMEOUT})
_KEY_REFUSED = frozenset({Category.AUTH, Category.PERMISSION, Category.BILLING})


class Checkup(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    provider: str
    ok: bool
    """It can be used."""
    reachable: bool | None
    """None: it was not found out."""
    key_good: bool | None
    """Its key is taken, and its account may ask; None: it was not found out."""
    models_there: bool | None
    """It has every declared model; None: it was not found out, or none is declared."""
    latency_s: float
    """How long it took to find out, in seconds."""
    at: Moment
    error: ErrorFacts | None = None
    """What is wrong, with a hint; a refused key at DashScope names the region."""


class Proved(NamedTuple):
    """What a check has proved beyond that the provider answers; None: it was not found out."""

    key_good: bool | None
    models_there: bool | None


async def checkup_of(provider: ChatProvider) -> Checkup:
    """Check a provider in its own way, or by asking for its models if it has none.

    Args:
        provider (ChatProvider): Ours or a stranger's.

    Returns:
        Checkup: Also where something is wrong.
    """
    return await examine(provider.name, _declared(provider), getattr(provider, "check", _listing(provider)))


async def look_at(provider: ChatProvider) -> Checkup:
    """Find out about a provider what costs nothing: no model is asked for anything.

    Ours say how; a stranger is asked for its models, since nobody knows what its own check does.

    Args:
        provider (ChatProvider): Ours or a stranger's.

    Returns:
        Checkup: What was not found out is None.
    """
    return await examine(provider.name, _declared(provider), getattr(provider, "look", _listing(provider)))


def late(provider: str, after_s: float) -> Checkup:
    """Say of a provider whose check does not end that it was not reached.

    Args:
        provider (str): Its name.
        after_s (float): For so long it was waited for.

    Returns:
        Checkup: With a time-out.
    """
    hint = "Its address? A firewall that swallows? `health.timeout_s` says how long looks may take."
    return _failed(provider, ProviderTimeout(f"{provider!r} did not answer a check within {after_s:g} s", hint=hint).facts(), after_s)


async def examine(provider: str, declared: tuple[str, ...], check: Callable[[], Awaitable[Proved | None]]) -> Checkup:
    """Check a provider.

    Args:
        provider (str): Its name.
        declared (tuple[str, ...]): The models that it should have.
        check (Callable[[], Awaitable[Proved | None]]): Raises what is wrong; None is all proved.

    Returns:
        Checkup: Also where something is wrong, even in a stranger's own code.
    """
    began = awake()
    try:
        proved = await check() or Proved(key_good=True, models_there=True if declared else None)
    except Exception as error:
        return _failed(provider, facts_of(error), awake() - began)
    return Checkup(
        provider=provider,
        ok=True,
        reachable=True,
        key_good=proved.key_good,
        models_there=proved.models_there,
        latency_s=awake() - began,
        at=now(),
    )


def _declared(provider: ChatProvider) -> tuple[str, ...]:
    return tuple(getattr(provider, "declared", ()))


def _listing(provider: ChatProvider) -> Callable[[], Awaitable[None]]:
    async def listing() -> None:
        await provider.models()

    return listing


def _failed(provider: str, error: ErrorFacts, latency_s: float) -> Checkup:
    answered = error.evidence.status is not None
    missing = error.category is Category.MODEL_NOT_FOUND
    reachable = False if error.category in _NOT_REACHED else True if answered or missing else None
    key_good = False if error.category in _KEY_REFUSED and answered else True if missing else None
    return Checkup(
        provider=provider,
        ok=False,
        reachable=reachable,
        key_good=key_good,
        models_there=False if missing else None,
        latency_s=latency_s,
        at=now(),
        error=error,
    )
