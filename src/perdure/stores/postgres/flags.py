"""What a database can do. All of it on PostgreSQL itself; less on what only speaks its language, or behind a pooler.

Nothing is found out by trying: whoever runs such a database says so. Everything works with all flags off,
only slower; the kits run so too.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

__all__ = ["ALL_OFF", "Flags", "flags_without"]


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """Which of PostgreSQL's abilities may be used."""

    skip_locked: bool = True
    """`FOR UPDATE SKIP LOCKED`: who leases goes past what others are just taking, instead of conflicting with them."""
    multi_cte: bool = True
    """Several tables written by one statement: a batch is one round trip."""
    advisory: bool = True
    """Advisory locks: the death of a process is seen at once. Without: by the age of its heartbeat."""
    listen: bool = True
    """LISTEN and NOTIFY: a change wakes other processes at once. Without: they look, at most half a second later."""
    xids: bool = True
    """Changes are numbered by transaction. Without: by a row that every transaction waits for."""
    activity: bool = True
    """`pg_stat_activity` tells our transactions from others'. Without: whoever keeps one open holds up the change sequence."""
    sessions: bool = True
    """A connection stays the same server session. Without (a pooler in transaction mode): nothing is kept on it."""

    def settled(self) -> Flags:
        """Leave out what cannot be had without something else.

        Returns:
            Flags: Locks and notifications belong to a session.
        """
        return self if self.sessions else msgspec.structs.replace(self, advisory=False, listen=False)


ALL_OFF = Flags(skip_locked=False, multi_cte=False, advisory=False, listen=False, xids=False, activity=False, sessions=False)
"""Less than any database we know of."""
_NEED_SESSIONS = ("listen", "advisory")
"""A listener and a lock belong to a session, so they go with it."""


def flags_without(missing: Iterable[str]) -> Flags:
    """Say what a database can do that lacks something.

    Args:
        missing (Iterable[str]): Names of flags.

    Returns:
        Flags: All the others.
    """
    lacks = set(missing)
    if "sessions" in lacks:
        lacks.update(_NEED_SESSIONS)
    return Flags(**dict.fromkeys(lacks, False))
