"""What is done once an hour, by whoever tends first then: sweeping tags of the past, counting again what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable

from perdure.stores.sql import limits
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["claim", "count_again", "look_after"]

_DUE, _SET, _BITE, _DROP = statement("chore_due"), statement("chore_set"), statement("fair_bite"), statement("fair_drop")
_AT_ONCE, _BITES = 1000, 50
_log = logging.getLogger("perdure.stores")


def look_after(tx: Transaction) -> None:
    """Do what is due.

    Args:
        tx (Transaction): What is being committed.
    """
    for name in claim(tx):
        _CHORES[name](tx)


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
    return [name for name, at in due if at and name in _CHORES]


def _forget_old_tags(tx: Transaction) -> None:
    """In the order of the key, a bite at a time; what is left after so many only takes room until the next time."""
    after: tuple[int, ...] = (-1, -1, -1, -1)
    for _ in range(_BITES):
        rows = tx.run(_BITE, (*after, _AT_ONCE)).fetchall()
        for *line, old in rows:
            after = tuple(line)
            if old:
                tx.run(_DROP, after)
        if len(rows) < _AT_ONCE:
            return


def count_again(tx: Transaction) -> None:
    """Count again what is kept in numbers.

    Args:
        tx (Transaction): What is being committed.
    """
    wrong = limits.reconcile(tx)
    if wrong:
        _log.warning("the counts of %d limits were wrong and are right now; please tell us how that came about", wrong)


_CHORES: dict[str, Callable[[Transaction], None]] = {"fair": _forget_old_tags, "gates": count_again}
