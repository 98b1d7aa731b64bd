"""Providers: who answers prompts, and whether they can."""

from __future__ import annotations

from perdure.errors.base import NotFound
from perdure.providers.checkup import checkup_of
from perdure.providers.health import keep
from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.listings import Listing
from perdure.server.providing import CheckupJson, ProviderJson

__all__ = ["DOORS"]


async def list_providers(call: Call) -> Answer:
    """List the providers of this server, what they did since it started, and how workers found them. Asks none of them.

    Args:
        call (Call): From an operator.

    Returns:
        Answer: 200 with a list, by name.
    """
    providers = sorted(call.core.models.providers.items())
    health = {one.provider: one for one in await call.core.store.health.all()}
    return json_answer(Listing(data=[ProviderJson.of(name, provider, health.get(name)) for name, provider in providers]))


async def check_provider(call: Call) -> Answer:
    """Find out whether a provider can be used: reachable, key good, models there. What is found is kept as a look's is.

    Args:
        call (Call): For the provider in its path.

    Returns:
        Answer: 200 with what was found, also where it cannot be used.

    Raises:
        NotFound: There is no such provider.
    """
    provider = call.core.models.providers.get(call.path["provider"])
    if provider is None:
        raise NotFound(f"there is no provider {call.path['provider'][:60]!r}", hint="They are at GET /api/v1/providers.")
    found = await checkup_of(provider)
    await keep(call.core.store.health, found, every_s=call.core.parts.looks_every_s)
    return json_answer(CheckupJson.of(found))


DOORS = (
    Door("GET", "/api/v1/providers", list_providers, "list_providers",
         "List who answers prompts, what they did, and how workers found them.", "Providers", "models:read",
         operator=True, answers={200: Listing[ProviderJson]}),
    Door("POST", "/api/v1/providers/{provider}/check", check_provider, "check_provider",
         "Find out whether a provider can be used; where it lists no models, one token is asked for.", "Providers", "models:read",
         operator=True, answers={200: CheckupJson}, refusals=(404,)),
)  # fmt: skip
