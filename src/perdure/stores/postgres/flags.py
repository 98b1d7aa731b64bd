"""What a database can do. All of it on PostgreSQL itself; less on what only speaks its language, or behind a pooler.

Nothing is found out by trying: whoever runs such a database says so. Everything works with all flags off,
only slower; the kits run so too.
"""

from __future__ import annotations

import msgspec

__all__ = ["ALL_OFF", "Flags"]


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


ALL_OFF = Flags(skip_locked=False, multi_cte=False, advisory=False, listen=False, xids=False, activity=False, sessions=False)
"""Less than any database we know of."""
