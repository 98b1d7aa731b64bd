"""Routes and tenants by number, as the writer knows them.

Both are written once and never renamed, so what was read stays true, whichever process wrote it. Only
what a rolled-back transaction had written must be forgotten.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import NamedTuple, TypeAlias

from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.tags import TagMemory

__all__ = ["CapRow", "Left", "Names", "Numbers", "RouteRow"]

_FIND_ROUTE, _ADD_ROUTE, _ROUTE = statement("route_find"), statement("route_add"), statement("route_get")
_FIND_TENANT, _ADD_TENANT, _TENANT = statement("tenant_find"), statement("tenant_add"), statement("tenant_get")
_LOWER_PATIENCE, _CAPS = statement("route_lower_patience"), statement("cap_list")


class RouteRow(NamedTuple):
    """A route, as far as it never changes."""

    id: int
    queue: str
    agent: str
    version: str | None
    lane: str | None
    quarantine: int


class CapRow(NamedTuple):
    """A limit."""

    id: int
    scope: str
    name: str
    at_once: int | None
    """None: it has been lifted and goes when nobody is held under it any more."""
    swept: int | None
    settled_at: float


Numbers: TypeAlias = tuple[int, int, int, int, int]
"""The last number drawn, the last change, how many were ever leased, the last worker, and 1 while all is paused."""


class Left(NamedTuple):
    """What a transaction leaves to the next one, which may rely on it if nobody else has written in between."""

    numbers: Numbers
    written: Numbers
    """What the store says they are; those who only put do not write them."""
    caps: int
    tags: TagMemory


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
        self.left: Left | None = None
        """What the last transaction knew, if it was committed."""
        self._caps_version = -1
        self._caps: dict[int, CapRow] = {}
        self._standing: dict[tuple[str, str], CapRow] = {}

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

    def caps(self, version: int) -> dict[tuple[str, str], CapRow]:
        """List the limits that stand.

        Args:
            version (int): Theirs now: what was read before is read again when it is another.

        Returns:
            dict[tuple[str, str], CapRow]: By scope and name.
        """
        if version != self._caps_version:
            self._caps = {row[0]: CapRow(*row) for row in self._run(_CAPS)}
            self._standing = {(cap.scope, cap.name): cap for cap in self._caps.values() if cap.at_once is not None}
            self._caps_version = version
        return self._standing

    def cap(self, id: int) -> CapRow:
        """Find a limit, also one that has been lifted.

        Args:
            id (int): Its number.

        Returns:
            CapRow: It, as of the version asked for last.
        """
        return self._caps[id]

    def _know(self, row: RouteRow) -> RouteRow:
        self._by_key[row[1:]] = row
        self._by_id[row.id] = row
        return row
