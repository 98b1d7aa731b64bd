"""Writing steps. Every write checks the lease's fence first, then writes."""

from __future__ import annotations

import msgspec

from perdure.agents.journal import Intent, MemoryWrite, StepKind, StepState, missed
from perdure.errors.base import Conflict, ErrorFacts
from perdure.messages.ids import write
from perdure.messages.message import Lease
from perdure.messages.spending import Bill, to_nano
from perdure.resources.usage import Usage
from perdure.stores.sql import fence
from perdure.stores.sql import memory as memories
from perdure.stores.sql.parcels import Parcel
from perdure.stores.sql.progress import failed_text, failed_tries, usage_text
from perdure.stores.sql.spending import charge, hold, save
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["begin", "defer", "end", "fail", "handle", "intend", "keep", "keep_request", "record", "replayed", "settle"]

_FIND, _BEFORE, _ADD, _BEGIN, _END = (statement(n) for n in ("step_find", "step_before", "step_add", "step_begin", "step_end"))
_SERVED = statement("step_served")
_KEEP_REQUEST, _DROP_REQUEST = statement("request_set"), statement("request_drop")
_HANDLE, _RUN, _REPLAYED = statement("step_handle"), statement("run_get"), statement("run_replayed")
_SAID, _BODY, _USES = statement("said_add"), statement("body_add"), statement("body_use_add")
_decode_usage = msgspec.json.Decoder(Usage).decode


def intend(tx: Transaction, lease: Lease, intent: Intent, request: Parcel | None) -> int:
    """Note that a step is about to be made, or made again.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to the run.
        intent (Intent): The step.
        request (Parcel | None): Its request, packed.

    Returns:
        int: The row of the step.

    Raises:
        LeaseLost: The right is stale.
        Conflict: The step is recorded already.
        BudgetReached: There is no money left for it today.
        CallTooDear: It may cost more than a whole budget.
    """
    row = begin(tx, lease, intent, request)
    hold(tx, intent.bill)
    return row


def settle(tx: Transaction, lease: Lease, intent: Intent, request: Parcel | None, result: Parcel, *, memory: MemoryWrite | None) -> None:
    """Note a step and its result in one go.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to the run.
        intent (Intent): The step.
        request (Parcel | None): Its request, packed.
        result (Parcel): Its result, packed.
        memory (MemoryWrite | None): What it changed in memory.
    """
    begin(tx, lease, intent, request, state=StepState.DONE, result=result.data)
    keep(tx, lease.message.id, result)
    _remember(tx, lease, memory)


def record(
    tx: Transaction,
    lease: Lease,
    number: int,
    result: Parcel,
    *,
    usage: Usage | None,
    memory: MemoryWrite | None,
    bill: Bill | None,
    lane: str | None = None,
) -> None:
    """Note the result of an intended step.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to the run.
        number (int): The step.
        result (Parcel): Its result, packed.
        usage (Usage | None): What it used.
        memory (MemoryWrite | None): What it changed in memory.
        bill (Bill | None): Where it is booked.
        lane (str | None): Who answered, if that is not whom it was sent to last.
    """
    row, before = _under_way(tx, lease, number, (StepState.INTENT,))
    keep(tx, lease.message.id, result)
    tx.run(_END, (row, StepState.DONE, tx.now, _sum(tx, before, usage), None, result.data))
    charge(tx, bill, usage)
    if lane is not None:
        tx.run(_SERVED, (row, lane))
    _remember(tx, lease, memory)


def fail(tx: Transaction, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None, bill: Bill | None) -> None:
    """Note that an intended step failed.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to the run.
        number (int): The step.
        error (ErrorFacts): How.
        usage (Usage | None): What it used all the same.
        bill (Bill | None): Where it is booked.
    """
    row, before = _under_way(tx, lease, number, (StepState.INTENT,))
    tx.run(_END, (row, StepState.FAILED, tx.now, _sum(tx, before, usage), msgspec.json.encode(error), None))
    charge(tx, bill, usage)


def defer(tx: Transaction, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None, bill: Bill | None) -> None:
    """Note that a step will be made again: it did not happen, or its failure does not count.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to the run.
        number (int): The step.
        error (ErrorFacts): Why.
        usage (Usage | None): What it used all the same.
        bill (Bill | None): Where that is booked, and what was held for it given back.
    """
    row, before = _under_way(tx, lease, number, (StepState.INTENT, StepState.FAILED))
    tx.run(_END, (row, StepState.AGAIN, tx.now, _sum(tx, before, usage), msgspec.json.encode(error), None))
    charge(tx, bill, usage)


def handle(tx: Transaction, lease: Lease, number: int, handle: str) -> None:
    """Note what the provider calls a call that is under way.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to the run.
        number (int): The step.
        handle (str): By which it can be asked.
    """
    row, _ = _under_way(tx, lease, number, (StepState.INTENT,))
    tx.run(_HANDLE, (row, handle))


def replayed(tx: Transaction, lease: Lease, saved: Usage) -> None:
    """Count what was replayed instead of paid for.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to the run.
        saved (Usage): What it had used.
    """
    fence.check(tx, lease)
    tx.count("replayed_calls", saved.calls)
    tx.count("replayed_input_tokens", saved.input_tokens or 0)
    tx.count("replayed_output_tokens", saved.output_tokens or 0)
    tx.count("replayed_cost_nanousd", to_nano(saved.cost_usd))
    save(tx, lease, saved)
    row = tx.run(_RUN, (lease.message.id,)).fetchone()
    before = None if row is None else row[0]
    tx.run(_REPLAYED, (lease.message.id, usage_text(saved if before is None else _decode_usage(before) + saved)))


def keep_request(tx: Transaction, message: int, row: int, request: Parcel | None) -> None:
    """Keep what a step asked.

    Args:
        tx (Transaction): What is being committed.
        message (int): Whose run.
        row (int): The step's.
        request (Parcel | None): Packed.
    """
    if request is not None:
        keep(tx, message, request)
        tx.run(_KEEP_REQUEST, (row, request.data))


def keep(tx: Transaction, message: int, parcel: Parcel) -> None:
    """Keep what a parcel refers to; what is there already stays as it is.

    Args:
        tx (Transaction): What is being committed.
        message (int): Whose run.
        parcel (Parcel): Of a request or a result.
    """
    for body in parcel.bodies:
        tx.run(_BODY, (body.hash, body.size, tx.now, body.data))
        tx.run(_USES, (message, body.hash))
    if parcel.said:
        tx.run_many(_SAID, [(message, *one) for one in parcel.said])


def begin(
    tx: Transaction,
    lease: Lease,
    intent: Intent,
    request: Parcel | None,
    *,
    state: StepState = StepState.INTENT,
    result: bytes | None = None,
) -> int:
    """Write a step that begins now, with its request.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to the run.
        intent (Intent): The step.
        request (Parcel | None): Its request, packed.
        state (StepState): What is known of it.
        result (bytes | None): What it came to, if it has already.

    Returns:
        int: The row of the step.
    """
    row = _begin(tx, lease, intent, state, result)
    keep_request(tx, lease.message.id, row, request)
    return row


def end(tx: Transaction, row: int, result: bytes | None, error: ErrorFacts | None, usage: bytes | None = None) -> None:
    """Write what a step that was under way came to.

    Args:
        tx (Transaction): What is being committed.
        row (int): Of the step.
        result (bytes | None): JSON.
        error (ErrorFacts | None): In place of a result.
        usage (bytes | None): What it has used so far.
    """
    state, facts = (StepState.DONE, None) if error is None else (StepState.FAILED, msgspec.json.encode(error))
    tx.run(_END, (row, state, tx.now, usage, facts, result))


def _begin(tx: Transaction, lease: Lease, intent: Intent, state: StepState, result: bytes | None) -> int:
    fence.check(tx, lease, beginning=True)
    before = tx.run(_BEFORE, (lease.message.id, intent.number)).fetchone()
    if before is not None and before[1] == StepState.DONE:
        raise Conflict(
            f"step {intent.number} of message {write(lease.message.id)!r} is recorded and is never made again",
            hint="Return the recorded result.",
        )
    key = intent.key
    tx.count("divergences", int(intent.diverged))
    tx.count("possibly_paid_twice", int(intent.ambiguous and key.kind is StepKind.LLM))
    ended_at = tx.now if state is StepState.DONE else None
    common = (state, lease.attempt, int(intent.ambiguous), tx.now, ended_at, intent.until, int(intent.idempotent), int(intent.diverged))
    key_columns = (key.scope, key.kind, key.name, key.fingerprint, key.n)
    if before is None:
        head = (lease.message.id, intent.number, *key_columns)
        return int(tx.run(_ADD, (*head, *common, intent.tool_version, result, intent.lane)).get)
    row, _, *last = before
    tx.run(_BEGIN, (row, *key_columns, *common, intent.tool_version, result, intent.lane, _missed(*last)))
    if intent.request is None:
        tx.run(_DROP_REQUEST, (row,))
    return int(row)


def _missed(ended_at: float | None, lane: str | None, error: bytes | None, before: bytes | None) -> bytes | None:
    """The tries without an answer, where the last one was one of them."""
    tries = missed(failed_tries(before), ended_at, lane, None if error is None else msgspec.json.decode(error, type=ErrorFacts))
    return failed_text(tries)


def _under_way(tx: Transaction, lease: Lease, number: int, states: tuple[StepState, ...]) -> tuple[int, bytes | None]:
    fence.check(tx, lease)
    found = tx.run(_FIND, (lease.message.id, number)).fetchone()
    if found is None or found[1] not in states:
        raise Conflict(
            f"step {number} of message {write(lease.message.id)!r} is not under way",
            hint="`intend` comes first, and each intent has one outcome.",
        )
    return found[0], found[2]


def _sum(tx: Transaction, before: bytes | None, usage: Usage | None) -> bytes | None:
    if usage is None:
        return before
    tx.count("calls", usage.calls)
    tx.count("hedged", usage.hedged)
    tx.count("input_tokens", usage.input_tokens or 0)
    tx.count("output_tokens", usage.output_tokens or 0)
    tx.count("cost_nanousd", to_nano(usage.cost_usd))
    tx.count("unpriced_calls", usage.unpriced)
    return usage_text(usage if before is None else _decode_usage(before) + usage)


def _remember(tx: Transaction, lease: Lease, memory: MemoryWrite | None) -> None:
    if memory is not None:
        memories.change(tx, lease.message.tenant, memory.space, memory.key, memory.value)
