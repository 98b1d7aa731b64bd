"""Which provider answers for which name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from perdure.errors.base import ConfigError, UnknownModel
from perdure.providers.protocol import ChatProvider

__all__ = ["Models", "Target"]


class Target(msgspec.Struct, frozen=True):
    """Whom to ask."""

    provider: ChatProvider
    model: str
    """As the upstream spells it."""

    @property
    def lane(self) -> str:
        """`provider/model`: what shares a limit and is paused together."""
        return f"{self.provider.name}/{self.model}"

    def request(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write the upstream's name of the model into a request.

        Args:
            body (Mapping[str, Any]): A chat request, with our name or none.

        Returns:
            dict[str, Any]: What the provider is asked.
        """
        return {**body, "model": self.model}


class Models:
    """Finds the provider for a model name.

    A name is, in this order: an alias; `default`; `provider/model`; a provider, for the first model it
    has declared; or a bare model that exactly one provider has declared.

    Args:
        providers (Mapping[str, ChatProvider]): By name.
        aliases (Mapping[str, tuple[str, str]] | None): Another name to (provider, model).
        default (str): For who names none.
    """

    def __init__(
        self,
        providers: Mapping[str, ChatProvider],
        aliases: Mapping[str, tuple[str, str]] | None = None,
        default: str = "local/smollm2",
    ) -> None:
        self.providers: dict[str, ChatProvider] = dict(providers)
        self.aliases: dict[str, tuple[str, str]] = dict(aliases or {})
        self.default: str = default
        for alias, (provider, _) in self.aliases.items():
            if provider not in self.providers:
                raise ConfigError(
                    f"the model {alias!r} is of {provider!r}, which is no provider", hint=_nearest(provider, list(self.providers))
                )

    def resolve(self, name: str | None = None) -> Target:
        """Find whom to ask.

        Args:
            name (str | None): A model's name; None for the default.

        Returns:
            Target: The provider, and the model as it spells it.

        Raises:
            UnknownModel: Nobody answers for that name.
        """
        wanted = name or "default"
        if wanted == "default" and "default" not in self.aliases:
            wanted = self.default
        if wanted in self.aliases:
            provider, model = self.aliases[wanted]
            return Target(self.providers[provider], model)
        provider, slash, model = wanted.partition("/")
        if slash and model and provider in self.providers:
            return Target(self.providers[provider], model)
        if wanted in self.providers and (declared := _declared(self.providers[wanted])):
            return Target(self.providers[wanted], declared[0])
        owners = [owner for owner in self.providers.values() if wanted in _declared(owner)]
        if len(owners) == 1:
            return Target(owners[0], wanted)
        if owners:
            ways = ", ".join(f"{owner.name}/{wanted}" for owner in owners)
            raise UnknownModel(f"the model {wanted!r} has more than one provider", hint=f"Write one of {ways}.")
        raise UnknownModel(f"nobody answers for the model {wanted!r}", hint=_nearest(wanted, self.names()))

    def names(self) -> list[str]:
        """List the names one can ask for without asking any provider.

        Returns:
            list[str]: Aliases and the declared models, sorted; the default is among them.
        """
        declared = {f"{name}/{model}" for name, provider in self.providers.items() for model in _declared(provider)}
        named = {self.default} if self.default.partition("/")[0] in self.providers else set[str]()
        return sorted(declared | named | set(self.aliases))

    async def aclose(self) -> None:
        """Close every provider's connections."""
        for provider in self.providers.values():
            await provider.aclose()


def _declared(provider: ChatProvider) -> tuple[str, ...]:
    return tuple(getattr(provider, "declared", ()))


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    known = ", ".join(names[:8]) or "none"
    return f"Did you mean {near[0]!r}?" if near else f"There is: {known}."
