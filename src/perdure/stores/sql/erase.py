"""Forgetting what runs did, and with it the bodies that no other run has."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["forget_journals", "forget_runs"]

_REQUESTS, _STEPS, _SAID = statement("requests_erase"), statement("steps_erase"), statement("said_erase")
_USES, _NO_USES, _BODY, _RUNS = (statement(name) for name in ("body_uses", "body_uses_erase", "body_erase", "runs_erase"))


def forget_journals(tx: Transaction, ids: Sequence[int]) -> None:
    """Erase the steps of runs that have ended, for good. What they used stays with their outcomes.

    Args:
        tx (Transaction): What is being committed; where there are several writers, one that is made again when
            another run refers to a body at the moment it is swept away.
        ids (Sequence[int]): Whose.
    """
    these = (msgspec.json.encode(list(ids)).decode(),)
    bodies = [digest for (digest,) in tx.run(_USES, these)]
    for erase in (_REQUESTS, _STEPS, _SAID, _NO_USES):
        tx.run(erase, these)
    if bodies:
        tx.run_many(_BODY, [(digest,) for digest in bodies])


def forget_runs(tx: Transaction, ids: Sequence[int]) -> None:
    """Erase all that the journal has of messages that are erased themselves.

    Args:
        tx (Transaction): What is being committed.
        ids (Sequence[int]): Which.
    """
    forget_journals(tx, ids)
    tx.run(_RUNS, (msgspec.json.encode(list(ids)).decode(),))
