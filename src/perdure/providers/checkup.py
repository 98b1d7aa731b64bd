"""Finds out whether a provider can be used, and says it as data: for the command line, the API, and whoever watches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from perdure.clock import Moment, awake, now
from perdure.errors.base import Category, ErrorFacts
from perdure.errors.report import facts_of
from perdure.providers.protocol import ChatProvider

__all__ = ["Checkup", "checkup_of", "examine"]

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


async def checkup_of(provider: ChatProvider) -> Checkup:
    """Check a provider in its own way, or by asking for its models if it has none.

    Args:
        provider (ChatProvider): Ours or a stranger's.

    Returns:
        Checkup: Also where something is wrong.
    """

    async def listing() -> None:
        await provider.models()

    return await examine(provider.name, tuple(getattr(provider, "declared", ())), getattr(provider, "check", listing))


async def examine(provider: str, declared: tuple[str, ...], check: Callable[[], Awaitable[None]]) -> Checkup:
    """Check a provider.

    Args:
        provider (str): Its name.
        declared (tuple[str, ...]): The models that it should have.
        check (Callable[[], Awaitable[None]]): Raises what is wrong.

    Returns:
        Checkup: Also where something is wrong, even in a stranger's own code.
    """
    began = awake()
    try:
        await check()
    except Exception as error:
        return _failed(provider, facts_of(error), awake() - began)
    return Checkup(
        provider=provider,
        ok=True,
        reachable=True,
        key_good=True,
        models_there=True if declared else None,
        latency_s=awake() - began,
        at=now(),
    )


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
