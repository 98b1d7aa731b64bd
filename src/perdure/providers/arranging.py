"""What the settings say of providers and models, as accounts and deployments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from perdure.config.settings import DeploymentSettings, ModelAlias, ProviderSettings
from perdure.errors.base import ConfigError
from perdure.providers.deployments import Deployments, Order
from perdure.providers.hedge import Hedge
from perdure.providers.protocol import ChatProvider
from perdure.providers.target import ACCOUNT, Target, base_of

__all__ = ["arranged", "with_accounts"]

_ALL = "*"


def with_accounts(rows: Mapping[str, ProviderSettings]) -> Iterator[tuple[str, ProviderSettings]]:
    """List each provider, and each further account of one as a provider beside it.

    Args:
        rows (Mapping[str, ProviderSettings]): As in the settings.

    Yields:
        tuple[str, ProviderSettings]: A name and what is behind it.

    Raises:
        ConfigError: A name would be taken for an account or a model.
    """
    for name, row in rows.items():
        if ACCOUNT in name or "/" in name:
            raise ConfigError(f"no provider can be called {name!r}", hint="More keys of one provider are its `accounts`.")
        yield name, row
        for account, key in row.accounts.items():
            yield f"{name}{ACCOUNT}{account}", row.model_copy(update={"api_key": key, "accounts": {}})


def arranged(name: str, alias: ModelAlias, providers: Mapping[str, ChatProvider]) -> Deployments:
    """Say who answers for a model of the settings.

    Args:
        name (str): Its own.
        alias (ModelAlias): What the settings say of it.
        providers (Mapping[str, ChatProvider]): By name.

    Returns:
        Deployments: In the order of the settings.

    Raises:
        ConfigError: One of them is no provider, or is named twice.
    """
    rows = alias.deployments or [DeploymentSettings(provider=alias.provider or "", model=alias.model or "")]
    targets = tuple(target for row in rows for target in _targets(name, row, providers))
    if len({target.lane for target in targets}) < len(targets):
        raise ConfigError(f"the model {name!r} names a deployment twice", hint="Give it more `weight` instead.")
    hedge = Hedge(alias.hedge_percent) if alias.hedge_percent else None
    order = Order(alias.order)
    return Deployments(name=name, targets=targets, order=order, larger=alias.on_context_length, other=alias.on_refusal, hedge=hedge)


def _targets(name: str, row: DeploymentSettings, providers: Mapping[str, ChatProvider]) -> Iterator[Target]:
    everywhere = row.provider == f"{base_of(row.provider)}{ACCOUNT}{_ALL}"
    found = [one for one in providers if (base_of(one) == base_of(row.provider) if everywhere else one == row.provider)]
    if not found:
        known = ", ".join(sorted(providers))
        raise ConfigError(f"the model {name!r} is of {row.provider!r}, which is no provider", hint=f"There is: {known}.")
    for one in found:
        yield Target(providers[one], row.model, row.weight, row.priority)
