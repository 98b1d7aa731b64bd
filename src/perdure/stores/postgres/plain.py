"""Many messages moved by a few statements: those in whose way nothing special stands.

Theory of operation. Whoever tends, reaps or stops moves hundreds at once, and moving each through the functions that
both engines share costs several round trips. Nearly all are plain: in no session, under no limit, nobody's child and
in no group where that matters. These are taken together - the statement that deletes the rows saying where they lie
is the lock, as ever, and what it returns is ours - and laid where they go. The functions here are called within a
transaction that sees the latest, and say which messages they have moved; all others go message by message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from perdure.stores.postgres.dialect import own
from perdure.stores.sql.names import RouteRow
from perdure.stores.sql.places import Place
from perdure.stores.sql.progress import Progress
from perdure.stores.sql.transaction import Transaction

__all__ = ["Known", "known_of", "lay_ready"]

_KNOWN, _READY, _WATCH = own("known_many"), own("ready_add_many"), own("expiry_add_many")


class Known(NamedTuple):
    """A message, and how far it has come."""

    place: Place
    progress: Progress

    def may_lie(self, tx: Transaction) -> bool:
        """Tell whether it may lie ready without anybody's leave.

        Args:
            tx (Transaction): What is being committed.

        Returns:
            bool: False in a session, or under a limit.
        """
        place = self.place
        return place.session is None and not tx.gates.bind(place.route, place.tenant, place.key)


def known_of(tx: Transaction, ids: Sequence[int]) -> dict[int, Known]:
    """Read what has to be known of messages to move them.

    Args:
        tx (Transaction): What is being committed.
        ids (Sequence[int]): Which.

    Returns:
        dict[int, Known]: By id, those that are there.
    """
    if not ids:
        return {}
    rows = tx.run(_KNOWN, (ids,)).fetchall()
    return {row[0]: Known(Place(row[0], tx.names.route_by_id(row[1]), *row[2:12]), Progress(*row[12:])) for row in rows}


def lay_ready(tx: Transaction, comers: Sequence[tuple[Place, RouteRow]]) -> None:
    """Let messages lie ready that come back.

    Args:
        tx (Transaction): What is being committed.
        comers (Sequence[tuple[Place, RouteRow]]): Those that may, and where: on their route, or in that one's quarantine.
    """
    if not comers:
        return
    tags = tx.tags.again_many([((entry.id, place.tenant, place.priority, 1), place.cost) for place, entry in comers])
    rows = [(entry.id, place.priority, tag, place.id, place.tenant) for (place, entry), tag in zip(comers, tags, strict=True)]
    tx.run(_READY, (tx.now, *map(list, zip(*rows, strict=True))))
    watched = [(place.deadline, place.id) for place, _ in comers if place.deadline is not None]
    if watched:
        tx.run(_WATCH, tuple(map(list, zip(*watched, strict=True))))
