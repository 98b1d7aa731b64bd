"""Limits, in memory: set and lifted while everything runs."""

from __future__ import annotations

from perdure.messages.limits import GateName, Limit, LimitStatus, Scope
from perdure.messages.message import State
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.rows import Row

__all__ = ["drop_limit", "limits", "set_limit"]


def limits(contents: Contents) -> list[LimitStatus]:
    """List the limits.

    Args:
        contents (Contents): What the store keeps.

    Returns:
        list[LimitStatus]: By scope and name.
    """
    return [_status(contents, Limit(scope=scope, name=name, at_once=n)) for (scope, name), n in sorted(contents.flow.limits.items())]


def set_limit(contents: Contents, limit: Limit) -> LimitStatus:
    """Let only so many run at once.

    Args:
        contents (Contents): What the store keeps.
        limit (Limit): In place of the one of its scope and name.

    Returns:
        LimitStatus: As it stands now.
    """
    flow = contents.flow
    new = (limit.scope, limit.name) not in flow.limits
    flow.limits[limit.scope, limit.name] = limit.at_once
    freed: set[GateName] = set()
    rows = sorted(contents.rows.values(), key=lambda row: (row.state is not State.LEASED, row.message.id))
    for row in [row for row in rows if row.state in (State.LEASED, State.READY)] if new else []:
        gate = next((gate for gate in flow.over(row) if _is_of(gate, limit)), None)
        if gate is None:
            continue
        if row.state is State.LEASED or not (flow.is_full(gate) or flow.is_blocked(row)):
            row.gates = (*row.gates, gate)
        else:
            freed |= contents.hold(row, gate)
    contents.admit(freed)
    contents.admit(row.held_under for row in _held_under(contents, limit) if row.held_under is not None)
    return _status(contents, limit)


def drop_limit(contents: Contents, scope: Scope, name: str) -> bool:
    """Lift a limit.

    Args:
        contents (Contents): What the store keeps.
        scope (Scope): Of what kind.
        name (str): Of whom.

    Returns:
        bool: Whether there was one.
    """
    at_once = contents.flow.limits.pop((scope, name), None)
    if at_once is None:
        return False
    for row in contents.rows.values():
        row.gates = tuple(gate for gate in row.gates if gate[:2] != (scope, name))
    limit = Limit(scope=scope, name=name, at_once=at_once)
    contents.admit(row.held_under for row in _held_under(contents, limit) if row.held_under is not None)
    return True


def _is_of(gate: GateName, limit: Limit) -> bool:
    return gate[:2] == (limit.scope, limit.name)


def _held_under(contents: Contents, limit: Limit) -> list[Row]:
    return [
        row for row in contents.rows.values() if row.state is State.HELD and row.held_under is not None and _is_of(row.held_under, limit)
    ]


def _status(contents: Contents, limit: Limit) -> LimitStatus:
    used = sum(any(_is_of(gate, limit) for gate in row.gates) for row in contents.rows.values() if row.state in (State.READY, State.LEASED))
    return LimitStatus(limit=limit, used=used, held=len(_held_under(contents, limit)))
