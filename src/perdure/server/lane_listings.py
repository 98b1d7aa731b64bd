"""Lanes on the wire: what they may take, what they have taken, and what stands against more."""

from __future__ import annotations

from typing import Literal

import msgspec

from perdure.clock import iso
from perdure.providers.lanes import LaneStatus
from perdure.server.answers import Time

__all__ = ["LaneJson", "LaneLimitsJson", "LanesOpened"]


class LaneLimitsJson(msgspec.Struct, kw_only=True):
    """What a lane may take; null is no limit."""

    rpm: float | None
    tpm: float | None
    rps: float | None
    at_once: int | None
    usd_per_day: float | None
    usd_per_month: float | None


class LaneJson(msgspec.Struct, kw_only=True):
    """A lane that has limits, was down, or is closed."""

    object: Literal["lane"] = "lane"
    name: str
    limits: LaneLimitsJson
    requests: int
    """Of the last minute."""
    tokens: int
    """Of the last minute: used, or reserved where it is not known yet."""
    usd_today: float
    usd_this_month: float
    at_once: int
    """Calls under way, where that is limited."""
    waiting: int
    """Calls that were told to wait."""
    workers: int
    """Workers that share it now."""
    next_at: Time | None
    """When the next call may start; null for now."""
    down: bool
    """Its circuit is open."""
    closed_until: Time | None
    closed_why: str | None

    @classmethod
    def of(cls, status: LaneStatus) -> LaneJson:
        """Write a lane.

        Args:
            status (LaneStatus): As the store has it.

        Returns:
            LaneJson: For the wire.
        """
        limits = status.limits
        return cls(
            name=status.name,
            limits=LaneLimitsJson(
                rpm=limits.rpm,
                tpm=limits.tpm,
                rps=limits.rps,
                at_once=limits.at_once,
                usd_per_day=limits.usd_per_day,
                usd_per_month=limits.usd_per_month,
            ),
            requests=status.requests,
            tokens=status.tokens,
            usd_today=round(status.usd_today, 6),
            usd_this_month=round(status.usd_this_month, 6),
            at_once=status.at_once,
            waiting=status.waiting,
            workers=status.workers,
            next_at=iso(status.next_at),
            down=status.down,
            closed_until=iso(status.closed_until),
            closed_why=status.closed_why,
        )


class LanesOpened(msgspec.Struct, kw_only=True):
    """What a person has opened."""

    object: Literal["lanes.opened"] = "lanes.opened"
    opened: list[str]
    """Lanes and models, by name; none if all was open."""
