"""What calls cost: a price for each model of each provider, from a package that is kept, with the user's own before it.

Nothing is guessed. A provider is known by the host that its calls go to, never by a model's name alone: the same
weights cost nothing on one's own machine and something else at each of ten hosts. Who has no price here has none, and
what its calls cost is unknown; unknown is never zero. What thinking costs is part of the output, cached input part of
the input, as OpenAI's wire counts them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from perdure.providers.catalog import region_of, row_of
from perdure.providers.dashscope_prices import AS_OF, DASHSCOPE, Tier
from perdure.providers.target import base_of
from perdure.resources.usage import Usage

_TOLD = ("messages", "tools", "prompt", "input")

__all__ = ["FREE", "OwnPrice", "Price", "Prices"]

_MILLION = 1_000_000
_OUTPUT_UNSAID = 2_000
_CHARS_PER_TOKEN = 3


class Price(Protocol):
    """What one model of one provider costs."""

    @property
    def source(self) -> str:
        """Where it is from: `settings`, or a data package with its version."""
        ...

    def cost(self, usage: Usage) -> float | None:
        """Say what a call cost.

        Args:
            usage (Usage): What it used, as its provider counted it.

        Returns:
            float | None: In US dollars; None where a count is missing or the price does not reach so far.
        """
        ...


class OwnPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A price of the user's own, in US dollars for a million tokens."""

    input_usd: float
    output_usd: float
    cached_usd: float | None = None
    """Of input that was cached; None is that of other input."""
    reasoning_usd: float | None = None
    """Of output that was thought; None is that of other output."""
    source: str = "settings"

    def cost(self, usage: Usage) -> float | None:
        """Say what a call cost."""
        asked, said = usage.input_tokens, usage.output_tokens
        if asked is None or said is None:
            return None
        cached, thought = min(usage.cached_tokens or 0, asked), min(usage.reasoning_tokens or 0, said)
        of_cached = self.input_usd if self.cached_usd is None else self.cached_usd
        of_thought = self.output_usd if self.reasoning_usd is None else self.reasoning_usd
        parts = ((asked - cached, self.input_usd), (cached, of_cached), (said - thought, self.output_usd), (thought, of_thought))
        return sum(tokens * usd for tokens, usd in parts) / _MILLION


FREE = OwnPrice(input_usd=0.0, output_usd=0.0, source="runs here")
"""Of what runs on this machine."""


class Prices:
    """Knows what models cost.

    Args:
        own (Mapping[str, OwnPrice] | None): The user's, by `provider/model`, or by `provider/*` for all others of it.
        addresses (Mapping[str, str] | None): Where providers answer, by their name here.
        free (frozenset[str]): Providers that cost nothing.
    """

    def __init__(
        self,
        own: Mapping[str, OwnPrice] | None = None,
        addresses: Mapping[str, str] | None = None,
        *,
        free: frozenset[str] = frozenset({"local"}),
    ) -> None:
        self._own = dict(own or {})
        self._addresses = dict(addresses or {})
        self._free = free
        self._found: dict[tuple[str, str], Price | None] = {}

    def cost_of(self, usage: Usage, provider: str, model: str) -> float | None:
        """Say what a call cost.

        Args:
            usage (Usage): What it used.
            provider (str): Its name here.
            model (str): As the provider spells it.

        Returns:
            float | None: In US dollars; None is unknown, and never zero.
        """
        price = self.price_of(provider, model)
        return None if price is None else price.cost(usage)

    def price_of(self, provider: str, model: str) -> Price | None:
        """Look a price up.

        Args:
            provider (str): Its name here.
            model (str): As the provider spells it.

        Returns:
            Price | None: None if nobody knows it.
        """
        key = (base_of(provider), model)
        if key not in self._found:
            self._found[key] = self._look_up(*key)
        return self._found[key]

    def at_most(self, body: Mapping[str, Any], provider: str, model: str) -> float | None:
        """Reckon before a call what it may cost, to reserve as much.

        Args:
            body (Mapping[str, Any]): A request for a chat, a text or vectors. What it says counts a token for three characters, and
                its answer as long as it allows, or 2,000 tokens where it sets no bound, as often as it asks for (`n`).
            provider (str): The provider's name here.
            model (str): As the provider spells it.

        Returns:
            float | None: In US dollars; None where no price is known.
        """
        price = self.price_of(provider, model)
        if price is None:
            return None
        told = sum(len(msgspec.json.encode(body[name])) for name in _TOLD if body.get(name) is not None)
        said = 0 if "input" in body else _said_at_most(body)  # vectors are made of what goes in alone
        return price.cost(Usage(calls=1, input_tokens=-(-told // _CHARS_PER_TOKEN), output_tokens=said))

    def _look_up(self, provider: str, model: str) -> Price | None:
        own = self._own.get(f"{provider}/{model}") or self._own.get(f"{provider}/*")
        if own is not None:
            return own
        if provider in self._free:
            return FREE
        address = self._addresses.get(provider, "")
        host = (urlsplit(address).hostname or "").lower()
        row = row_of(address)
        if row is not None and row.name == "qwen":
            tiers = DASHSCOPE.get((region_of(address) or "", model))
            return None if tiers is None else _Tiered(tiers)
        return _packaged(address, model) if _is_somewhere(host) else None


def _said_at_most(body: Mapping[str, Any]) -> int:
    bounds = [_number(body.get(name)) for name in ("max_completion_tokens", "max_tokens")]  # which of the two counts, the endpoint decides
    return (max(bounds) or _OUTPUT_UNSAID) * (_number(body.get("n")) or 1)


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


class _Tiered(msgspec.Struct, frozen=True):
    """DashScope's: by how long the input is; where a model thinks, all that it says costs more."""

    tiers: tuple[Tier, ...]
    source: str = f"catalog of {AS_OF}"

    def cost(self, usage: Usage) -> float | None:
        asked, said = usage.input_tokens, usage.output_tokens
        if asked is None or said is None:
            return None
        tier = next((one for one in self.tiers if one.up_to is None or asked <= one.up_to), None)
        if tier is None:
            return None
        thinks = bool(usage.reasoning_tokens) and tier.thinking_usd is not None
        of_output = tier.thinking_usd if thinks and tier.thinking_usd is not None else tier.output_usd
        return (asked * tier.input_usd + said * of_output) / _MILLION


class _Packaged:
    """As `genai-prices` has it: with dates, tiers and prices of cached input."""

    def __init__(self, model: Any, provider: Any, usage: Any) -> None:
        self._model, self._provider, self._usage = model, provider, usage
        self.source: str = f"genai-prices {version('genai-prices')}"

    def cost(self, usage: Usage) -> float | None:
        """Say what a call cost."""
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        counts = self._usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=min(usage.cached_tokens or 0, usage.input_tokens),
            output_reasoning_tokens=min(usage.reasoning_tokens or 0, usage.output_tokens),
        )
        try:
            return float(self._model.calc_price(counts, self._provider).total_price)
        except (LookupError, ValueError):  # counted in a unit that this model has no price for
            return None


def _packaged(address: str, model: str) -> Price | None:
    from genai_prices import Usage as Counts  # late: it imports httpx2
    from genai_prices.data_snapshot import get_snapshot  # late: it imports pydantic

    try:
        provider, info = get_snapshot().find_provider_model(model, None, None, address)
    except LookupError:
        return None
    site = address.split("/", 3)[:3]  # scheme, nothing, host: the pattern must know all of the host, not only how it begins
    known = re.match(provider.api_pattern, address)
    return _Packaged(info, provider, Counts) if known is not None and known.end() >= len("/".join(site)) else None


def _is_somewhere(host: str) -> bool:
    """Tell a name on the net from an address, and from this machine: the package need not be read for these."""
    return "." in host and not host.replace(".", "").isdigit()
