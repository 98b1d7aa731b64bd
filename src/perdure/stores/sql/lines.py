"""The lines of sessions, as others need to know them."""

from __future__ import annotations

from typing import NamedTuple

from perdure.stores.sql.places import Place
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["Line", "line_of", "urgency"]

_FIND = statement("session_find")


class Line(NamedTuple):
    """A session that somebody is in."""

    id: int
    head: int
    urgency: int


def line_of(tx: Transaction, tenant: int, name: str) -> Line | None:
    """Find the line of a session.

    Args:
        tx (Transaction): What is being committed.
        tenant (int): Whose session.
        name (str): Its name.

    Returns:
        Line | None: None if nobody is in it.
    """
    row = tx.run(_FIND, (tenant, name)).fetchone()
    return None if row is None else Line(*row)


def urgency(tx: Transaction, place: Place) -> int:
    """Tell with which priority a message lies ready.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.

    Returns:
        int: Its own, or that of the most urgent in its line.
    """
    line = None if place.session is None else line_of(tx, place.tenant, place.session)
    return place.priority if line is None else min(place.priority, line.urgency)
