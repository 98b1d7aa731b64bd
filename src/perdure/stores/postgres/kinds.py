"""What many messages have in common - queue, agent, tenant, priority - and the numbers it is known by."""

from __future__ import annotations

from typing import Any

from perdure.messages.message import NewMessage
from perdure.stores.postgres.interned import Interned

__all__ = ["Kind", "Kinds"]

_MOST = 10_000


class Kind:
    """What many messages have in common. The same object for all of them.

    Args:
        new (NewMessage): One of them.
        tenant (int): The number of its tenant.
        route (int): The number of its route.
    """

    __slots__ = ("attempts", "cost", "line", "max_wait_s", "priority", "route", "tenant")

    def __init__(self, new: NewMessage, tenant: int, route: int) -> None:
        self.tenant, self.route, self.priority, self.attempts = tenant, route, new.priority, new.attempts
        self.max_wait_s, self.cost = new.max_wait_s, new.cost
        self.line = (route, tenant, new.priority, 0)


class Kinds:
    """Those that a process has met.

    Args:
        names (Interned): Routes and tenants.
    """

    def __init__(self, names: Interned) -> None:
        self._names = names
        self._known: dict[tuple[Any, ...], Kind] = {}

    async def of(self, new: NewMessage, now: float) -> Kind:
        """Find that of a message; nearly always it is known.

        Args:
            new (NewMessage): Which.
            now (float): The store's time.

        Returns:
            Kind: It.
        """
        key = (new.queue, new.agent, new.version, new.lane, new.tenant, new.priority, new.attempts, new.max_wait_s, new.cost)
        kind = self._known.get(key)
        return await self._learn(key, new, now) if kind is None else kind

    async def _learn(self, key: tuple[Any, ...], new: NewMessage, now: float) -> Kind:
        route = await self._names.learn_route((new.queue, new.agent, new.version, new.lane, 0), patience_s=new.max_wait_s, now=now)
        tenant = self._names.tenants.get(new.tenant) or await self._names.learn_tenant(new.tenant)
        if len(self._known) >= _MOST:
            self._known.clear()
        kind = self._known[key] = Kind(new, tenant, route.id)
        return kind
