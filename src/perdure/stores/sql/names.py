"""Routes and tenants by number, as the writer knows them.

Both are written once and never renamed, so what was read stays true, whichever process wrote it. Only
what a rolled-back transaction had written must be forgotten.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import NamedTuple

from perdure.stores.sql.statements import Run, statement

__all__ = ["Names", "RouteRow"]

_FIND_ROUTE, _ADD_ROUTE, _ROUTE = statement("route_find"), statement("route_add"), statement("route_get")
_FIND_TENANT, _ADD_TENANT, _TENANT = statement("tenant_find"), statement("tenant_add"), statement("tenant_get")
_LOWER_PATIENCE = statement("route_lower_patience")


class RouteRow(NamedTuple):
    """A route, as far as it never changes."""

    id: int
    queue: str
    agent: str
    version: str | None
    lane: str | None
    quarantine: int


_Key = tuple[str, str, str | None, str | None, int]


class Names:
    """Numbers for routes and tenants, made at first use.

    Args:
        run (Run): Of transactions.
    """

    def __init__(self, run: Run) -> None:
        self._run: Run = run
        self.forget()

    def forget(self) -> None:
        """Forget everything, for some of it was rolled back."""
        self._by_key: MutableMapping[_Key, RouteRow] = {}
        self._by_id: MutableMapping[int, RouteRow] = {}
        self._patience: MutableMapping[int, float] = {}
        self._tenants: MutableMapping[str, int] = {}
        self._tenant_names: MutableMapping[int, str] = {}

    def route(self, key: _Key, *, patience_s: float, now: float) -> RouteRow:
        """Find or make a route.

        Args:
            key (_Key): Queue, agent, version, lane, and 1 for quarantine.
            patience_s (float): The `max_wait_s` of the message that needs it.
            now (float): The store's time.

        Returns:
            RouteRow: It.
        """
        row = self._by_key.get(key)
        if row is None:
            number = self._run(_FIND_ROUTE, key).get or self._run(_ADD_ROUTE, (*key, patience_s)).get or self._run(_FIND_ROUTE, key).get
            row = self._know(RouteRow(number, *key))
        if patience_s < self._patience.get(row.id, float("inf")):
            self._run(_LOWER_PATIENCE, (row.id, patience_s, now))
            self._patience[row.id] = patience_s
        return row

    def route_by_id(self, id: int) -> RouteRow:
        """Find a route by its number.

        Args:
            id (int): Its number.

        Returns:
            RouteRow: It.
        """
        row = self._by_id.get(id)
        return self._know(RouteRow(*self._run(_ROUTE, (id,)).fetchone())) if row is None else row

    def tenant(self, name: str) -> int:
        """Find or make a tenant's number.

        Args:
            name (str): Its name.

        Returns:
            int: Its number.
        """
        number = self._tenants.get(name)
        if number is None:
            number = self._run(_FIND_TENANT, (name,)).get or self._run(_ADD_TENANT, (name,)).get or self._run(_FIND_TENANT, (name,)).get
            assert number is not None  # if it was not there and could not be added, another process was quicker
            self._tenants[name] = number
            self._tenant_names[number] = name
        return number

    def tenant_name(self, number: int) -> str:
        """Find a tenant's name.

        Args:
            number (int): Its number.

        Returns:
            str: Its name.
        """
        name = self._tenant_names.get(number)
        if name is None:
            name = self._tenant_names[number] = str(self._run(_TENANT, (number,)).get)
        return name

    def _know(self, row: RouteRow) -> RouteRow:
        self._by_key[row[1:]] = row
        self._by_id[row.id] = row
        return row
