"""The round in which providers are looked at: one look for all workers of all machines, as the store deals them out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from perdure.providers.checkup import Checkup, checkup_of, late, look_at
from perdure.providers.health import HealthStore, keep
from perdure.providers.protocol import ChatProvider

__all__ = ["Looks", "Watch"]

ASK_S = 15.0
"""Whoever takes looks may die, and a first failure wants a second look soon: so often each worker asks what is due."""
_SOONEST_S = 0.5


class Looks(msgspec.Struct, frozen=True, kw_only=True):
    """How providers are looked at."""

    every_s: float = 300.0
    timeout_s: float = 20.0
    paid: bool = False
    """One token may be asked for where nothing else proves a key."""


class Watch:
    """Looks at providers.

    Args:
        health (HealthStore): Deals looks out, and keeps what they find.
        providers (Mapping[str, ChatProvider]): Whom to look at.
        looks (Looks): How.
    """

    def __init__(self, health: HealthStore, providers: Mapping[str, ChatProvider], looks: Looks) -> None:
        self._health = health
        self._providers = providers
        self._looks = looks
        self._under_way: dict[str, asyncio.Task[Checkup]] = {}

    async def once(self) -> float:
        """Make the looks that are due.

        Returns:
            float: Seconds until the next round.
        """
        due = await self._health.take(list(self._providers), every_s=self._looks.every_s)
        made = await asyncio.gather(*map(self._look, due.providers), return_exceptions=True)
        for error in made:
            if error is not None:
                raise error
        return min(ASK_S, max(_SOONEST_S, due.next_in_s))

    async def _look(self, name: str) -> None:
        await keep(self._health, await self._found(name), every_s=self._looks.every_s)

    async def _found(self, name: str) -> Checkup:
        """A look that does not end, not even when it is called off, is left behind; until it does, none begins beside it."""
        if name in self._under_way:
            return late(name, self._looks.timeout_s)
        check = checkup_of if self._looks.paid else look_at
        looking = self._under_way[name] = asyncio.create_task(check(self._providers[name]))
        looking.add_done_callback(lambda _: self._under_way.pop(name, None))
        try:
            await asyncio.wait({looking}, timeout=self._looks.timeout_s)
        finally:
            looking.cancel()  # does nothing to one that has ended
        return looking.result() if looking.done() and not looking.cancelled() else late(name, self._looks.timeout_s)
