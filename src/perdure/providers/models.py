"""Which providers answer for which name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from perdure.clock import chance
from perdure.errors.base import ConfigError, UnknownModel
from perdure.providers.deployments import Deployments
from perdure.providers.protocol import ChatProvider
from perdure.providers.target import ACCOUNT, Target

__all__ = ["Models"]


class Models:
    """Finds the providers for a model name.

    A name is, in this order: an alias; `default`; `provider/model`; a provider, for the first model it
    has declared; or a bare model that exactly one provider has declared.

    Args:
        providers (Mapping[str, ChatProvider]): By name.
        aliases (Mapping[str, Deployments | tuple[str, str]] | None): Another name to (provider, model), or to several deployments.
        default (str): For who names none.

    Raises:
        ConfigError: An alias names a provider or a model that nobody has.
    """

    def __init__(
        self,
        providers: Mapping[str, ChatProvider],
        aliases: Mapping[str, Deployments | tuple[str, str]] | None = None,
        default: str = "local/smollm2",
    ) -> None:
        self.providers: dict[str, ChatProvider] = dict(providers)
        self.default: str = default
        self.aliases: dict[str, Deployments] = {name: self._alias(name, given) for name, given in (aliases or {}).items()}
        for alias in self.aliases.values():
            self._check(alias)

    def deployments(self, name: str | None = None) -> Deployments:
        """Find who can be asked.

        Args:
            name (str | None): A model's name; None for the default.

        Returns:
            Deployments: The providers, each with the model as it spells it.

        Raises:
            UnknownModel: Nobody answers for that name.
        """
        wanted = name or "default"
        if wanted == "default" and "default" not in self.aliases:
            wanted = self.default
        if wanted in self.aliases:
            return self.aliases[wanted]
        target = self._single(wanted)
        return Deployments(name=target.lane, targets=(target,))

    def resolve(self, name: str | None = None) -> Target:
        """Find whom to ask, where nobody else is asked after that.

        Args:
            name (str | None): A model's name; None for the default.

        Returns:
            Target: The provider, and the model as it spells it; of several, the one whose turn it is.

        Raises:
            UnknownModel: Nobody answers for that name.
        """
        return self.deployments(name).in_order(chance)[0]

    def several(self) -> dict[str, Sequence[str]]:
        """Tell which models have more than one deployment.

        Returns:
            dict[str, Sequence[str]]: Their lane to those of the deployments.
        """
        return {one.lane: [target.lane for target in one.targets] for one in self.aliases.values() if len(one.targets) > 1}

    def names(self) -> list[str]:
        """List the names one can ask for without asking any provider.

        Returns:
            list[str]: Aliases and the declared models, sorted; the default is among them.
        """
        declared = {f"{name}/{model}" for name, owner in self._owners().items() for model in _declared(owner)}
        named = {self.default} if self.default.partition("/")[0] in self.providers else set[str]()
        return sorted(declared | named | set(self.aliases))

    async def aclose(self) -> None:
        """Close every provider's connections."""
        for provider in self.providers.values():
            await provider.aclose()

    def _single(self, wanted: str) -> Target:
        provider, slash, model = wanted.partition("/")
        if slash and model and provider in self.providers:
            return Target(self.providers[provider], model)
        if wanted in self.providers and (declared := _declared(self.providers[wanted])):
            return Target(self.providers[wanted], declared[0])
        owners = [owner for owner in self._owners().values() if wanted in _declared(owner)]
        if len(owners) == 1:
            return Target(owners[0], wanted)
        if owners:
            ways = ", ".join(f"{owner.name}/{wanted}" for owner in owners)
            raise UnknownModel(f"the model {wanted!r} has more than one provider", hint=f"Write one of {ways}.")
        raise UnknownModel(f"nobody answers for the model {wanted!r}", hint=_nearest(wanted, self.names()))

    def _owners(self) -> dict[str, ChatProvider]:
        """Without second accounts, which have nothing that the first has not."""
        return {name: provider for name, provider in self.providers.items() if ACCOUNT not in name}

    def _alias(self, name: str, given: Deployments | tuple[str, str]) -> Deployments:
        if isinstance(given, Deployments):
            if len(given.targets) > 1 and "/" in name:
                raise ConfigError(f"the model {name!r} has several deployments and a name like that of one", hint="Leave out the slash.")
            return given
        provider, model = given
        if provider not in self.providers:
            raise ConfigError(f"the model {name!r} is of {provider!r}, which is no provider", hint=_nearest(provider, list(self.providers)))
        return Deployments(name=name, targets=(Target(self.providers[provider], model),))

    def _check(self, alias: Deployments) -> None:
        for fallback in (alias.larger, alias.other):
            try:
                if fallback is not None:
                    self.deployments(fallback)
            except UnknownModel as error:
                raise ConfigError(f"the model {alias.name!r} falls back to another: {error.message}", hint=error.hint) from error


def _declared(provider: ChatProvider) -> tuple[str, ...]:
    return tuple(getattr(provider, "declared", ()))


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    known = ", ".join(names[:8]) or "none"
    return f"Did you mean {near[0]!r}?" if near else f"There is: {known}."
