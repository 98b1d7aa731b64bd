"""Routes and tenants by number, as far as they are committed.

Both are written once, never renamed and never removed, so what was read stays true whoever wrote it. A new
one is written in a transaction of its own, at once: what is known here can never be rolled back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from perdure.clock import Moment
from perdure.stores.postgres.hot import Ground, ask, hot
from perdure.stores.sql.names import RouteRow

__all__ = ["Interned", "RouteKey"]

RouteKey: TypeAlias = tuple[str, str, str | None, str | None, int]
"""Queue, agent, version, lane, and 1 for quarantine."""


class Interned:
    """Numbers for routes and tenants, made at first use.

    Args:
        ground (Ground): The engine.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.routes: dict[RouteKey, RouteRow] = {}
        """Those known, by what they are."""
        self.route_of: dict[int, RouteRow] = {}
        """Those known, by number."""
        self.patience: dict[int, float] = {}
        """The shortest `max_wait_s` that a route is known to have."""
        self.tenants: dict[str, int] = {}
        """Those known, by name."""
        self.tenant_of: dict[int, str] = {}
        """Those known, by number."""

    async def learn_route(self, key: RouteKey, *, patience_s: float, now: Moment) -> RouteRow:
        """Find or make a route, and let it be no more patient than a message of it.

        Args:
            key (RouteKey): What it is.
            patience_s (float): The `max_wait_s` of the message that needs it.
            now (Moment): The store's time.

        Returns:
            RouteRow: It, from now on among `routes`.
        """
        row = self.routes.get(key)
        if row is None:
            found = await self._fetch("know_route", *key)
            if not found:
                await self._fetch("make_route", *key, patience_s)
                found = await self._fetch("know_route", *key)
            row = self._know(RouteRow(found[0][0], *key))
            self.patience[row.id] = found[0][1]
        if patience_s < self.patience.get(row.id, float("inf")):
            await self._fetch("lower_patience", row.id, patience_s, now)
            self.patience[row.id] = patience_s
        return row

    async def learn_tenant(self, name: str) -> int:
        """Find or make a tenant.

        Args:
            name (str): Its name.

        Returns:
            int: Its number, from now on among `tenants`.
        """
        found = await self._fetch("know_tenant", name)
        if not found:
            await self._fetch("make_tenant", name)
            found = await self._fetch("know_tenant", name)
        number = int(found[0][0])
        self.tenants[name], self.tenant_of[number] = number, name
        return number

    async def learn(self, routes: Iterable[int], tenants: Iterable[int]) -> None:
        """Read what routes and tenants are that others have made.

        Args:
            routes (Iterable[int]): Numbers of routes.
            tenants (Iterable[int]): Numbers of tenants.
        """
        unknown = [number for number in set(routes) if number not in self.route_of]
        if unknown:
            for row in await self._fetch("know_route_by_id", unknown):
                self._know(RouteRow(*row))
        strangers = [number for number in set(tenants) if number not in self.tenant_of]
        if strangers:
            for number, name in await self._fetch("know_tenant_by_id", strangers):
                self.tenants[name], self.tenant_of[number] = number, name

    async def _fetch(self, name: str, *given: Any) -> list[Any]:
        return await ask(self._ground, hot(name), *given)

    def _know(self, row: RouteRow) -> RouteRow:
        self.routes[row[1:6]] = row
        self.route_of[row.id] = row
        return row
