"""Limits and their counts in one transaction: read once, written once before the commit.

Which limits there are is known to the process and read again only when their version has changed; where there are
none, nothing here costs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from perdure.messages.limits import GateName, Scope, gates_for
from perdure.stores.sql.names import CapRow, Names, RouteRow
from perdure.stores.sql.statements import Run, statement

__all__ = ["Gate", "Gates", "ids_in", "text_of"]

_OF, _GET, _ADD = statement("gate_of"), statement("gate_get"), statement("gate_add")
_SET, _DROP, _BLOCKED = statement("gate_set"), statement("gate_drop"), statement("route_blocked")
_Marks = tuple["dict[int, Gate | None]", "set[int]", dict[tuple[int, str], int]]


class Gate(NamedTuple):
    """One count."""

    id: int
    cap: int
    key: str
    used: int
    held: int
    dirty: int


def ids_in(text: str | None) -> list[int]:
    """Read which counts a message is in.

    Args:
        text (str | None): As kept with it.

    Returns:
        list[int]: Their numbers.
    """
    return [] if text is None else [int(one) for one in text.split(",")]


def text_of(gates: Sequence[int]) -> str | None:
    """Write which counts a message is in.

    Args:
        gates (Sequence[int]): Their numbers.

    Returns:
        str | None: None for none.
    """
    return ",".join(map(str, gates)) or None


class Gates:
    """The counts, as this transaction leaves them.

    Args:
        run (Run): Of the transaction.
        names (Names): Which knows the limits.
        version (Callable[[], int]): Reads that of the limits.
    """

    def __init__(self, run: Run, names: Names, version: Callable[[], int]) -> None:
        self._run: Run = run
        self._names = names
        self._read_version = version
        self._version: int | None = None
        self._rules: bool | None = None
        self._known: dict[int, Gate | None] = {}
        self._changed: set[int] = set()
        self._by_key: dict[tuple[int, str], int] = {}
        self._blocked: dict[int, bool] = {}

    def changed(self, version: int) -> None:
        """Note that this transaction has changed a limit.

        Args:
            version (int): The new version.
        """
        self._version, self._rules = version, None

    def version(self, begun: int) -> int:
        """Tell which limits there are now.

        Args:
            begun (int): The version when the transaction began.

        Returns:
            int: The version now.
        """
        return begun if self._version is None else self._version

    def forget_blocks(self) -> None:
        """Note that this transaction has changed which routes are blocked."""
        self._blocked.clear()

    def rule(self) -> bool:
        """Tell whether there are any limits.

        Returns:
            bool: False for most stores, and then nothing here has to be asked.
        """
        if self._rules is None:
            self._rules = bool(self._caps())
        return self._rules

    def bind(self, route: RouteRow, tenant: int, key: str | None) -> bool:
        """Tell whether a message has to be in any count, without looking at one.

        Args:
            route (RouteRow): Its route.
            tenant (int): Whose it is.
            key (str | None): Its key.

        Returns:
            bool: False for nearly all messages.
        """
        caps = self._caps()
        if not caps:
            return False
        wanted = gates_for(route.queue, route.agent, self._names.tenant_name(tenant), key)
        return any((name.scope, name.name) in caps for name in wanted)

    def over(self, route: RouteRow, tenant: int, key: str | None) -> list[int]:
        """List the counts that a message has to be in.

        Args:
            route (RouteRow): Its route.
            tenant (int): Whose it is.
            key (str | None): Its key.

        Returns:
            list[int]: In the order in which they are asked; empty for nearly all messages.
        """
        caps = self._caps()
        if not caps:
            return []
        wanted = gates_for(route.queue, route.agent, self._names.tenant_name(tenant), key)
        found = [(caps.get((name.scope, name.name)), name.key) for name in wanted]
        return [self._of(cap.id, key) for cap, key in found if cap is not None]

    def get(self, id: int) -> Gate | None:
        """Read a count.

        Args:
            id (int): Its number.

        Returns:
            Gate | None: None if it has gone meanwhile.
        """
        if id not in self._known:
            row = self._run(_GET, (id,)).fetchone()
            self._known[id] = None if row is None else Gate(*row)
        return self._known[id]

    def is_full(self, id: int) -> bool:
        """Tell whether there is no room under a limit.

        Args:
            id (int): The count.

        Returns:
            bool: False also when the limit has been lifted.
        """
        gate = self.get(id)
        at_once = None if gate is None else self._cap(gate).at_once
        return gate is not None and at_once is not None and gate.used >= at_once

    def is_lifted(self, id: int) -> bool:
        """Tell whether the limit of a count is none any more.

        Args:
            id (int): The count.

        Returns:
            bool: True only until all whom it held are let in.
        """
        gate = self.get(id)
        return gate is not None and self._cap(gate).at_once is None

    def name(self, id: int) -> GateName:
        """Name a count.

        Args:
            id (int): Its number.

        Returns:
            GateName: By which counts are ordered where several are to admit.
        """
        gate = self.get(id)
        if gate is None:
            return GateName(Scope.QUEUE, "")
        cap = self._cap(gate)
        return GateName(Scope(cap.scope), cap.name, gate.key)

    def cap_of(self, id: int) -> int | None:
        """Tell of which limit a count is.

        Args:
            id (int): The count.

        Returns:
            int | None: The limit's number; None if the count has gone.
        """
        gate = self.get(id)
        return None if gate is None else gate.cap

    def forget(self, id: int) -> None:
        """Note that a count has gone.

        Args:
            id (int): Which.
        """
        self._known[id] = None
        self._changed.discard(id)
        self._by_key = {key: gate for key, gate in self._by_key.items() if gate != id}

    def count(self, ids: Iterable[int], *, used: int = 0, held: int = 0) -> None:
        """Add to counts; those that have gone are let be.

        Args:
            ids (Iterable[int]): Which.
            used (int): How many more are ready or leased.
            held (int): How many more are held.
        """
        for one in ids:
            gate = self.get(one)
            if gate is not None:
                self._put(gate._replace(used=max(gate.used + used, 0), held=max(gate.held + held, 0)))

    def mark(self, id: int, *, dirty: bool) -> None:
        """Leave a count for tending, or say that it has been tended.

        Args:
            id (int): Which.
            dirty (bool): Whether it may admit somebody.
        """
        gate = self.get(id)
        if gate is not None and gate.dirty != dirty:
            self._put(gate._replace(dirty=int(dirty)))

    def is_blocked(self, route: RouteRow) -> bool:
        """Tell whether tending has found that nothing of a route can start.

        Args:
            route (RouteRow): Which.

        Returns:
            bool: False for quarantine, which opens when somebody lies there.
        """
        if route.quarantine:
            return False
        if route.id not in self._blocked:
            self._blocked[route.id] = self._run(_BLOCKED, (route.id,)).get is not None
        return self._blocked[route.id]

    def flush(self) -> None:
        """Write what has changed; a key that nobody uses any more is forgotten."""
        for gate in [self._known[one] for one in self._changed]:
            if gate is None:
                continue
            if gate.used == gate.held == 0 and gate.key:
                self._run(_DROP, (gate.id,))
            else:
                self._run(_SET, (gate.id, gate.used, gate.held, gate.dirty))

    def marks(self) -> _Marks:
        """Remember what is gathered so far.

        Returns:
            _Marks: For `back_to`.
        """
        return dict(self._known), set(self._changed), dict(self._by_key)

    def back_to(self, marks: _Marks) -> None:
        """Forget what a call that failed had gathered.

        Args:
            marks (_Marks): From before it.
        """
        self._known, self._changed, self._by_key = marks
        self._blocked.clear()

    def _of(self, cap: int, key: str) -> int:
        number = self._by_key.get((cap, key))
        if number is None:
            row = self._run(_OF, (cap, key)).fetchone() or self._run(_ADD, (cap, key)).fetchone()
            number = self._by_key[cap, key] = int(row[0])
            self._known.setdefault(number, Gate(*row))
        return number

    def _caps(self) -> dict[tuple[str, str], CapRow]:
        if self._version is None:
            self._version = self._read_version()
        return self._names.caps(self._version)

    def _cap(self, gate: Gate) -> CapRow:
        self._caps()
        return self._names.cap(gate.cap)

    def _put(self, gate: Gate) -> None:
        self._known[gate.id] = gate
        self._changed.add(gate.id)
