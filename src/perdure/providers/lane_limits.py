"""What a lane may take: requests, tokens and money in a span of time, and calls at once."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from perdure.providers.target import base_of

__all__ = ["LaneLimits", "LaneTable"]


class LaneLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of one lane (provider, account, model), for all processes together. None is no limit."""

    rpm: float | None = None
    """Requests a minute."""
    tpm: float | None = None
    """Tokens a minute, those of the prompt and those of the answer."""
    rps: float | None = None
    """Requests a second; None spreads `rpm` evenly."""
    at_once: int | None = None
    """Calls under way at the same time."""
    usd_per_day: float | None = None
    """Money from one midnight UTC to the next."""
    usd_per_month: float | None = None
    """Money from the first of a month (UTC) to the next."""
    unsaid_tokens: int = 1000
    """What is reserved for an answer whose request names no greatest length."""
    gentle_s: float = 10.0
    """How long it takes to full speed after a pause, a limit met or an outage; 0 is no such start."""
    minute_s: float = 60.0
    """What counts as a minute."""

    @property
    def costs(self) -> bool:
        """Whether money is limited."""
        return self.usd_per_day is not None or self.usd_per_month is not None

    @property
    def weighs(self) -> bool:
        """Whether it matters how large a request is."""
        return self.tpm is not None or self.costs

    @property
    def requests_a_second(self) -> float | None:
        """How fast requests may follow one another; None for as fast as one likes."""
        return self.rps if self.rps is not None else None if self.rpm is None else self.rpm / self.minute_s

    @property
    def tokens_a_second(self) -> float | None:
        """How fast tokens may follow one another; None for as fast as one likes."""
        return None if self.tpm is None else self.tpm / self.minute_s


class LaneTable:
    """Knows the limits of each lane.

    Args:
        of_providers (Mapping[str, LaneLimits] | None): By provider: those of each of its models by itself.
        of_lanes (Mapping[str, LaneLimits] | None): By lane (`provider/model`): a model's own, in place of its provider's.
    """

    def __init__(self, of_providers: Mapping[str, LaneLimits] | None = None, of_lanes: Mapping[str, LaneLimits] | None = None) -> None:
        self._of_providers = dict(of_providers or {})
        self._of_lanes = dict(of_lanes or {})

    def __bool__(self) -> bool:
        """Whether any lane has limits.

        Returns:
            bool: False: all calls go through.
        """
        return bool(self._of_providers or self._of_lanes)

    def of(self, lane: str) -> LaneLimits | None:
        """Look a lane up.

        Args:
            lane (str): `provider/model`.

        Returns:
            LaneLimits | None: None if it has none.
        """
        provider, _, model = lane.partition("/")
        shared = base_of(provider)  # each account has the limits of its provider, for itself
        own = self._of_lanes.get(lane) or self._of_lanes.get(f"{shared}/{model}")
        return own or self._of_providers.get(provider) or self._of_providers.get(shared)
