"""Steps that wait for something, and steps that send messages: the journal and the messages in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.agents.journal import Intent, Obtained, StepState
from perdure.errors.base import Conflict, ErrorFacts
from perdure.messages.children import Outcome, failure_of, not_sent, outcomes_as_json, too_deep
from perdure.messages.ids import write
from perdure.messages.message import ENDS, Lease, MessageId, NewMessage, State
from perdure.stores.sql import fence, steps
from perdure.stores.sql.mail import take
from perdure.stores.sql.parcels import Parcel
from perdure.stores.sql.places import state_of
from perdure.stores.sql.put import put
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["obtain", "send"]

_FIND, _OUTCOME = statement("step_find"), statement("view_outcome")
_CHILD, _DEPTH, _TOUCH_CHILD = statement("child_add"), statement("child_depth"), statement("child_touch")
_SET, _TOUCH, _DROP, _AWAIT = (statement(n) for n in ("awaited_set", "awaited_touch", "awaited_drop", "awaits_add"))
_decode_error = msgspec.json.Decoder(ErrorFacts).decode


def obtain(tx: Transaction, lease: Lease, intent: Intent, request: Parcel | None) -> Obtained | None:
    """Begin to wait for something, or take it if it is there.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to the run.
        intent (Intent): The step, and what it waits for.
        request (Parcel | None): Its request, packed.

    Returns:
        Obtained | None: What was taken.

    Raises:
        Conflict: The step is recorded already.
    """
    fence.check(tx, lease, beginning=True)
    run = lease.message.id
    before = tx.run(_FIND, (run, intent.number)).fetchone()
    if before is not None and before[1] == StepState.DONE:
        raise Conflict(f"step {intent.number} of message {write(run)!r} is recorded already", hint="Return the recorded result.")
    begun = before if before is not None and before[1] == StepState.INTENT else None
    row = begun[0] if begun is not None else steps.begin(tx, lease, intent, request)
    obtained = _signal(tx, run, intent) if intent.signal is not None else _children(tx, run, intent, goes_on=begun is not None)
    if obtained is not None:
        steps.end(tx, row, obtained.result, obtained.error)
    return obtained


def send(
    tx: Transaction, lease: Lease, intent: Intent, request: Parcel | None, messages: Sequence[NewMessage], *, max_depth: int
) -> list[MessageId]:
    """Put messages and record the step that sends them.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to the run.
        intent (Intent): The step.
        request (Parcel | None): Its request, packed.
        messages (Sequence[NewMessage]): What to put.
        max_depth (int): How many senders may stand behind one another.

    Returns:
        list[MessageId]: Theirs.

    Raises:
        RunLimit: There are too many senders behind one another.
    """
    fence.check(tx, lease, beginning=True, adding=True)
    depth = (tx.run(_DEPTH, (lease.message.id,)).get or 0) + 1
    if depth > max_depth:
        raise too_deep(depth, max_depth)
    kin = {"parent": lease.message.id, "tenant": lease.message.tenant, "dedup_key": None}
    receipts = put(tx, [msgspec.structs.replace(new, **kin) for new in messages])
    tx.run_many(_CHILD, [(receipt.id, lease.message.id, depth) for receipt in receipts])
    ids = [receipt.id for receipt in receipts]
    steps.begin(tx, lease, intent, request, state=StepState.DONE, result=msgspec.json.encode([write(one) for one in ids]))
    return ids


def _signal(tx: Transaction, id: MessageId, intent: Intent) -> Obtained | None:
    data = take(tx, id, intent.signal or "", intent.number)
    return None if data is None else Obtained(result=data)


def _children(tx: Transaction, id: MessageId, intent: Intent, *, goes_on: bool) -> Obtained | None:
    left = tx.run(_TOUCH, (0, id, intent.number)).get if goes_on else None
    if left is None or left == 0:  # not counted yet, or somebody may have been revived meanwhile
        left = _await(tx, id, intent)
    if left:
        return None
    tx.run(_DROP, (id, intent.number))
    outcomes = [_outcome(tx, child) for child in intent.children]
    error = None if intent.lenient else failure_of(outcomes)
    return Obtained(error=error) if error is not None else Obtained(result=outcomes_as_json(outcomes))


def _await(tx: Transaction, id: MessageId, intent: Intent) -> int:
    """Write down who has to end, so that the last of them wakes the run."""
    living: list[MessageId] = []
    for child in dict.fromkeys(intent.children):
        if tx.run(_TOUCH_CHILD, (child,)).get != id:
            raise not_sent(child)
        if state_of(tx.run, child) not in ENDS:
            living.append(child)
    tx.run(_SET, (id, intent.number, len(living)))
    tx.run_many(_AWAIT, [(child, id, intent.number) for child in living])
    return len(living)


def _outcome(tx: Transaction, child: MessageId) -> Outcome:
    error, result = tx.run(_OUTCOME, (child,)).fetchone()[5:7]
    return Outcome(
        id=write(child),
        state=State(state_of(tx.run, child)),
        result=msgspec.Raw(result or b"null"),
        error=None if error is None else _decode_error(error),
    )
