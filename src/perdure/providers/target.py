"""Where a call of a model goes: one deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from perdure.providers.protocol import ChatProvider

__all__ = ["ACCOUNT", "Target", "base_of"]

ACCOUNT = "@"
"""Between a provider's name and that of one more account there, which is a provider of its own: `qwen@second`."""


def base_of(provider: str) -> str:
    """Leave the account out of a provider's name.

    Args:
        provider (str): `qwen@second`.

    Returns:
        str: `qwen`.
    """
    return provider.partition(ACCOUNT)[0]


class Target(msgspec.Struct, frozen=True):
    """Whom to ask."""

    provider: ChatProvider
    model: str
    """As the upstream spells it."""
    weight: float = 1.0
    """Its share, where a model's deployments share the calls."""
    priority: int = 0
    """Those with the lowest number are asked first."""

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
