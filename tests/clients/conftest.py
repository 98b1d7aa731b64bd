"""A server before a rule-based upstream on a real socket, for clients that know nothing of either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from clients.rules import answer
from perdure.clock import SystemClock
from perdure.providers.deployments import Deployments
from perdure.providers.generic import GenericProvider
from perdure.providers.models import Models
from perdure.providers.prices import OwnPrice, Prices
from perdure.providers.target import Target
from perdure.testing import Upstream

T = TypeVar("T")


@dataclass
class Way:
    """A running server, and the upstreams behind it."""

    served: Any
    first: Upstream
    second: Upstream

    @property
    def url(self) -> str:
        return f"{self.served.url}/v1"

    @property
    def key(self) -> str:
        return str(self.served.key)

    async def beside(self, work: Callable[[], T]) -> T:
        """Run a client that blocks."""
        return await asyncio.to_thread(work)


@pytest.fixture
def upstreams() -> Iterator[tuple[Upstream, Upstream]]:
    with Upstream(reply=answer, models=("m-1",)) as first, Upstream(reply=answer, models=("m-1",)) as second:
        yield first, second


@pytest.fixture
async def way(serve: Any, upstreams: tuple[Upstream, Upstream]) -> AsyncIterator[Way]:
    """`m` is one deployment, `both` is two, of which the first is asked first."""
    first, second = upstreams
    providers = {name: GenericProvider(name, base_url=one.base_url, models=["m-1"]) for name, one in (("first", first), ("second", second))}
    targets = tuple(Target(provider, "m-1") for provider in providers.values())
    models = Models(providers, {"m": ("first", "m-1"), "both": Deployments(name="both", targets=targets)}, "first/m-1")
    prices = Prices({f"{name}/m-1": OwnPrice(input_usd=1, output_usd=2) for name in providers})
    served = await serve(models=models, provider=providers["first"], prices=prices, clock=SystemClock())  # providers speak of real moments
    yield Way(served, first, second)
    await models.aclose()
