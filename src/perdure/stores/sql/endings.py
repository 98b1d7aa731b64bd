"""How a message ends, and who is told of it in the same transaction.

Everything that ends a message comes by here: done, buried, cancelled, poison, a deadline, a decision. Its parent's
run, its group and its session hear of it before anybody else can see it, so that nobody waits for what has happened already.
"""

from __future__ import annotations

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts
from perdure.messages.message import Move, State
from perdure.resources.usage import Usage
from perdure.stores.sql import kin
from perdure.stores.sql.admission import leave
from perdure.stores.sql.places import Place, facts_of
from perdure.stores.sql.progress import progress_of, usage_of_steps, usage_text
from perdure.stores.sql.sessions import leave_line
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["bury", "cancel_idle", "end"]

_OUTCOME = statement("outcome_add")


def end(
    tx: Transaction,
    place: Place,
    state: State,
    *,
    used: int,
    started_at: Moment | None,
    usage: Usage | None = None,
    error: ErrorFacts | None = None,
    result: bytes | None = None,
    code_version: str | None = None,
) -> None:
    """Write down how a message ended.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        state (State): `done`, `dead` or `cancelled`.
        used (int): Attempts used.
        started_at (Moment | None): When it was first leased.
        usage (Usage | None): What it used; None for the sum over its steps.
        error (ErrorFacts | None): Why it is dead.
        result (bytes | None): What it is done with.
        code_version (str | None): The agent's code that did it.
    """
    code, facts = (None, None) if error is None else (error.code, msgspec.json.encode(error))
    head = (place.id, state, place.route.id, place.tenant, code, used, started_at, tx.now, code_version)
    text = usage_of_steps(tx.run, place.id) if usage is None else usage_text(usage)
    tx.run(_OUTCOME, (*head, text, facts, result))
    kin.ended(tx, place, state)
    if place.session is not None:
        leave_line(tx, place, state)


def bury(tx: Transaction, place: Place, state: State, error: ErrorFacts) -> None:
    """Give up a message that nobody holds; no attempt is used.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        state (State): Where it lies.
        error (ErrorFacts): Why.
    """
    progress = progress_of(tx.run, place.id)
    new = tx.move(place.id, place.route, state, Move.BURY, facts_of(tx, place, progress.used, error))
    leave(tx, place, state, progress.crashes)
    end(tx, place, new, used=progress.used, started_at=progress.started_at, error=error)


def cancel_idle(tx: Transaction, place: Place, state: State) -> None:
    """Cancel a message that nobody holds.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        state (State): Where it lies.
    """
    progress = progress_of(tx.run, place.id)
    new = tx.move(place.id, place.route, state, Move.CANCEL, facts_of(tx, place, progress.used))
    leave(tx, place, state, progress.crashes)
    end(tx, place, new, used=progress.used, started_at=progress.started_at)
