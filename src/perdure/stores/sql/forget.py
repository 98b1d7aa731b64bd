"""Forgetting messages whole, with all they own: one statement for each table, whatever the number of messages.

Whoever keeps something by message adds its statement here, so that nothing stays behind of what has gone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.messages.message import State
from perdure.stores.sql.erase import forget_runs
from perdure.stores.sql.places import known_place
from perdure.stores.sql.sessions import leave_line
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["OWNED", "forget", "ids_text"]

_HEADS = statement("session_heads")
OWNED = [
    *(statement(name) for name in ("forget_attempts", "forget_progress", "forget_bounds")),
    *(statement(name) for name in ("forget_edits", "forget_dedup", "forget_signals", "forget_mail")),
    *(statement(name) for name in ("forget_children", "forget_awaited", "forget_members", "forget_groups")),
    *(statement(name) for name in ("forget_outcomes", "forget_messages")),
]
"""What a message owns beside its run, itself last."""


def ids_text(ids: Sequence[int]) -> str:
    """Write ids as statements take them.

    Args:
        ids (Sequence[int]): Of messages.

    Returns:
        str: A JSON list.
    """
    return msgspec.json.encode(list(ids)).decode()


def forget(tx: Transaction, ids: Sequence[int]) -> None:
    """Forget messages that have ended. Their callers note that they are gone.

    Args:
        tx (Transaction): What is being committed.
        ids (Sequence[int]): Which.
    """
    forget_runs(tx, ids)
    text = ids_text(ids)
    for (head,) in tx.run(_HEADS, (text,)).fetchall():  # a dead letter for which its session stands
        leave_line(tx, known_place(tx, head), State.CANCELLED)
    for sql in OWNED:
        tx.run(sql, (text,))
