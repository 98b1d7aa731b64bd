"""The fence before every write of a worker: the lease must still be held, by the token it came with.

A refused write is counted and leaves nothing else, however late the worker wakes.
"""

from __future__ import annotations

from typing import NamedTuple

from perdure.clock import Moment
from perdure.errors.base import LeaseLost, RunCancelled
from perdure.messages.ids import write
from perdure.messages.message import Lease
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["Held", "check", "is_held", "take_back"]

_CHECK, _CLAIM, _TAKE_BACK = (statement(f"lease_{verb}") for verb in ("check", "claim", "take_back"))


class Held(NamedTuple):
    """What the store knew of a lease that has just been taken back."""

    route: int
    tenant: int
    attempt: int
    crashes: int
    started_at: Moment
    called_off: Moment | None = None
    """Since when somebody wants it cancelled: then it becomes that, whatever its worker wants."""
    gates: str | None = None
    """The limits it counts under, as `admission` knows them."""


def is_held(tx: Transaction, lease: Lease) -> bool:
    """Tell whether a lease still holds.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to a message.

    Returns:
        bool: False when it is stale.
    """
    return tx.run(_CHECK, (lease.message.id, lease.token)).fetchone() is not None


def check(tx: Transaction, lease: Lease, *, beginning: bool = False, adding: bool = False) -> None:
    """Refuse a stale lease.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to a message.
        beginning (bool): Something new is about to be begun.
        adding (bool): Something is added that must be called off together with the message.

    Raises:
        LeaseLost: It is stale.
        RunCancelled: It was called off, so nothing new may be begun.
    """
    called_off = tx.run(_CLAIM if adding else _CHECK, (lease.message.id, lease.token)).fetchone()
    if called_off is None:
        raise _lost(tx, lease)
    if beginning and called_off[0]:
        raise RunCancelled(f"message {write(lease.message.id)!r} was called off", hint="Nothing new is begun; the run ends.")


def take_back(tx: Transaction, lease: Lease) -> Held:
    """End a lease, if it still holds.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to a message.

    Returns:
        Held: What was known of it.

    Raises:
        LeaseLost: It is stale. That is counted, and nothing else written.
    """
    row = tx.run(_TAKE_BACK, (lease.message.id, lease.token)).fetchone()
    if row is None:
        raise _lost(tx, lease)
    return Held(*row)


def _lost(tx: Transaction, lease: Lease) -> LeaseLost:
    tx.count("refused_stale")
    return LeaseLost(
        f"message {write(lease.message.id)!r} is no longer held by worker {lease.worker}",
        hint="Stop working on it: whoever holds it now goes on from the journal.",
    )
