"""A person says what became of a step whose outcome nobody can know."""

from __future__ import annotations

import msgspec

from perdure.agents.journal import Decision, StepState
from perdure.errors.base import Conflict, NotFound
from perdure.messages.dead import after_decision
from perdure.messages.ids import write
from perdure.messages.message import MessageId, Move, State, Wait
from perdure.security.audit import Actor
from perdure.stores.sql.admission import become_ready
from perdure.stores.sql.endings import bury
from perdure.stores.sql.parcels import Parcel
from perdure.stores.sql.places import find
from perdure.stores.sql.statements import statement
from perdure.stores.sql.steps import keep
from perdure.stores.sql.transaction import Transaction

__all__ = ["decide"]

_FIND, _WAITING = statement("step_find"), statement("view_waiting")
_DECIDE, _DECIDED_BY = statement("step_decide"), statement("step_decided_by")
_decode_wait = msgspec.json.Decoder(Wait).decode


def decide(tx: Transaction, id: MessageId, number: int, decision: Decision, *, by: str, result: Parcel, tenant: str | None) -> None:
    """Let the message go on, or bury it.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): The message.
        number (int): Its step.
        decision (Decision): What is true.
        by (str): Who says so.
        result (Parcel): For `HAPPENED`: what the step returned, packed.
        tenant (str | None): Only if the message is this tenant's.

    Raises:
        NotFound: No such message, or no such step.
        Conflict: The message does not wait for this step's outcome.
    """
    place, state = find(tx, id, tenant)
    step = tx.run(_FIND, (id, number)).fetchone()
    if step is None:
        raise NotFound(f"message {write(id)!r} has no step {number}")
    wait = _decode_wait(tx.run(_WAITING, (id,)).get) if state is State.WAITING else None
    if wait is None or (wait.why, wait.step) != ("outcome-unknown", number):
        raise Conflict(
            f"message {write(id)!r} does not wait for the outcome of step {number}",
            hint="Only a message that waits as `outcome-unknown` can be decided, and only once.",
        )
    tx.audit(Actor(by), "step.decide", write(id), step=number, decision=decision.value)
    if decision is Decision.BURY:
        tx.run(_DECIDED_BY, (step[0], by))
        bury(tx, place, state, after_decision(number, wait))
        return
    happened = decision is Decision.HAPPENED
    if happened:
        keep(tx, id, result)
    tx.run(_DECIDE, (step[0], StepState.DONE if happened else StepState.AGAIN, tx.now, result.data if happened else None, by))
    become_ready(tx, place, State.WAITING, Move.WAKE)
