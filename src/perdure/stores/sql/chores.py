"""What is done once an hour, by whoever tends first then: sweeping tags of the past, counting again what is kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from perdure.stores.sql import limits
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["claim", "count_again", "forget_old_tags"]

_DUE, _SET, _BITE, _DROP = statement("chore_due"), statement("chore_set"), statement("fair_bite"), statement("fair_drop")
_AT_ONCE = 1000
_NAMES = ("fair", "gates")
_log = logging.getLogger("perdure.stores")


def claim(tx: Transaction) -> list[str]:
    """See what is due, and that nobody else does it.

    Args:
        tx (Transaction): What is being committed.

    Returns:
        list[str]: Names of chores.
    """
    due = tx.run(_DUE, (tx.now,)).fetchall()
    for name, _ in due:
        tx.run(_SET, (name, tx.now + limits.HOURLY_S))
    return [name for name, at in due if at and name in _NAMES]


def forget_old_tags(tx: Transaction, behind: Sequence[int]) -> Sequence[int] | None:
    """Forget a bite of tags that nobody needs any more, in the order of the key.

    Args:
        tx (Transaction): What is being committed.
        behind (Sequence[int]): The key where the bite before ended; four times -1 at first.

    Returns:
        Sequence[int] | None: Where this one ended; None at the end.
    """
    rows = tx.run(_BITE, (*behind, _AT_ONCE)).fetchall()
    for *line, old in rows:
        if old:
            tx.run(_DROP, tuple(line))
    return None if len(rows) < _AT_ONCE else rows[-1][:4]


def count_again(tx: Transaction) -> None:
    """Count again what is kept in numbers.

    Args:
        tx (Transaction): What is being committed.
    """
    wrong = limits.reconcile(tx)
    if wrong:
        _log.warning("the counts of %d limits were wrong and are right now; please tell us how that came about", wrong)
