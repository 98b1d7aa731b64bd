"""Writing steps: what many runs do at once is one statement for what begins, and one for what ends.

The statements do what nearly every step needs: it is made for the first time, or it is under way and ends.
All else - a step made again, a body of its own, a value that is forgotten - they leave to the shared functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from perdure.agents.journal import Intent, MemoryWrite, StepState
from perdure.errors.base import ErrorFacts, PerdureError
from perdure.messages.message import Lease
from perdure.messages.spending import Bill, to_nano
from perdure.resources.batcher import Batcher
from perdure.resources.usage import Usage
from perdure.stores.postgres.hot import Ground, columns, each_apart, hot
from perdure.stores.postgres.marked import write
from perdure.stores.postgres.text import to_kept
from perdure.stores.sql.parcels import Parcel
from perdure.stores.sql.progress import usage_text
from perdure.stores.sql.spending import booked

__all__ = ["Journaling"]

_BEGIN, _END = hot("begin_steps"), hot("end_steps")
_MOST_CALLS, _MOST_BYTES, _ROW_BYTES = 500, 4 * 1024 * 1024, 256
_NOTHING = Usage()
_encode = msgspec.json.Encoder().encode


class _Begun(NamedTuple):
    lease: Lease
    intent: Intent
    state: StepState
    request: Parcel | None
    result: Parcel | None
    memory: MemoryWrite | None


class _Ended(NamedTuple):
    lease: Lease
    number: int
    state: StepState
    usage: Usage | None
    error: bytes | None
    result: bytes | None
    bill: Bill | None


class Journaling:
    """Gathers the steps of a process's runs.

    Args:
        ground (Ground): The engine.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._begins = Batcher(self._flush_begins, most_items=_MOST_CALLS, most_bytes=_MOST_BYTES, flushes=2)
        self._ends = Batcher(self._flush_ends, most_items=_MOST_CALLS, most_bytes=_MOST_BYTES, flushes=2)

    async def begin(
        self,
        lease: Lease,
        intent: Intent,
        request: Parcel | None,
        *,
        result: Parcel | None = None,
        memory: MemoryWrite | None = None,
    ) -> bool:
        """Note that a step begins; with a result, that it has ended as well.

        Args:
            lease (Lease): The right to the run.
            intent (Intent): The step.
            request (Parcel | None): Its request, packed.
            result (Parcel | None): Its result, packed.
            memory (MemoryWrite | None): What it changed in memory.

        Returns:
            bool: False if nothing was written, since something about it is unusual.
        """
        parcels = [one for one in (request, result) if one is not None]
        braked = intent.bill is not None and intent.bill.held_nanousd > 0
        unusual = (
            braked
            or intent.diverged
            or intent.ambiguous
            or any(one.bodies for one in parcels)
            or (result is not None and bool(result.said))
        )
        if unusual or (memory is not None and (memory.key is None or memory.value is None)):
            return False
        state = StepState.INTENT if result is None else StepState.DONE
        begun = _Begun(lease, intent, state, request, result, memory)
        return await self._begins.add(begun, size_bytes=_ROW_BYTES + sum(one.size_bytes for one in parcels))

    async def end(
        self,
        lease: Lease,
        number: int,
        state: StepState,
        *,
        usage: Usage | None = None,
        error: ErrorFacts | None = None,
        result: Parcel | None = None,
        bill: Bill | None = None,
    ) -> bool:
        """Note the outcome of a step that is under way.

        Args:
            lease (Lease): The right to the run.
            number (int): The step.
            state (StepState): Its state from now on.
            usage (Usage | None): What it used.
            error (ErrorFacts | None): What went wrong.
            result (Parcel | None): Its result, packed.
            bill (Bill | None): Where it is booked.

        Returns:
            bool: False if nothing was written, since something about it is unusual.
        """
        if result is not None and (result.bodies or result.said):
            return False
        if usage is not None and usage.hedged:
            return False
        data, text = (None if result is None else result.data), (None if error is None else _encode(error))
        ended = _Ended(lease, number, state, usage, text, data, bill)
        return await self._ends.add(ended, size_bytes=_ROW_BYTES + len(data or b"") + len(text or b""))

    async def close(self) -> None:
        """Write what was said, then end."""
        await self._begins.close()
        await self._ends.close()

    async def _flush_begins(self, steps: Sequence[_Begun]) -> list[bool | BaseException]:
        try:
            return await self._begin(steps)
        except PerdureError as error:
            return await each_apart(self._begin, steps, error)

    async def _flush_ends(self, steps: Sequence[_Ended]) -> list[bool | BaseException]:
        try:
            return await self._end(steps)
        except PerdureError as error:
            return await each_apart(self._end, steps, error)

    async def _begin(self, steps: Sequence[_Begun]) -> list[bool | BaseException]:
        order = sorted(range(len(steps)), key=lambda at: (steps[at].lease.message.id, steps[at].intent.number))
        said: list[tuple[Any, ...]] = []
        remembered: dict[tuple[str, str, str], tuple[Any, ...]] = {}
        rows: list[tuple[Any, ...]] = []
        written: list[int] = []
        for place in order:
            step = steps[place]
            message, memory = step.lease.message, step.memory
            if memory is not None:
                name = (to_kept(message.tenant), to_kept(memory.space), to_kept(memory.key or ""))
                if name in remembered:  # one after the other: a statement writes a row once
                    continue
                remembered[name] = (len(rows) + 1, *name, memory.value)
            written.append(place)
            rows.append(_begun_row(step))
            if step.request is not None:
                said += [(len(rows), message.id, *one) for one in step.request.said]
        given = (*columns(rows, 16), *columns(said, 5), *columns(list(remembered.values()), 5))
        found = await write(self._ground, _BEGIN, self._ground.clock.now(), *given)
        return _were_done(len(steps), written, found)

    async def _end(self, steps: Sequence[_Ended]) -> list[bool | BaseException]:
        order = sorted(range(len(steps)), key=lambda at: (steps[at].lease.message.id, steps[at].number))
        rows = [_ended_row(steps[place]) for place in order]
        bills = [(at, *_booked(steps[place])) for at, place in enumerate(order, 1) if steps[place].bill is not None]
        found = await write(self._ground, _END, self._ground.clock.now(), *columns(rows, 12), *columns(bills, 16))
        return _were_done(len(steps), order, found)


def _begun_row(step: _Begun) -> tuple[Any, ...]:
    lease, intent = step.lease, step.intent
    key = intent.key
    return (
        lease.message.id,
        lease.token,
        intent.number,
        to_kept(key.scope),
        key.kind,
        to_kept(key.name),
        to_kept(key.fingerprint),
        key.n,
        step.state,
        lease.attempt,
        intent.until,
        int(intent.idempotent),
        None if intent.tool_version is None else to_kept(intent.tool_version),
        None if step.result is None else step.result.data,
        None if step.request is None else step.request.data,
        None if intent.lane is None else to_kept(intent.lane),
    )


def _ended_row(step: _Ended) -> tuple[Any, ...]:
    lease, usage = step.lease, step.usage or _NOTHING
    counts = (usage.calls, usage.input_tokens or 0, usage.output_tokens or 0, to_nano(usage.cost_usd), usage.unpriced)
    return (lease.message.id, lease.token, step.number, step.state, usage_text(step.usage), step.error, step.result, *counts)


def _booked(step: _Ended) -> tuple[Any, ...]:
    assert step.bill is not None
    return tuple(to_kept(one) if isinstance(one, str) else one for one in booked(step.bill, step.usage))


def _were_done(n: int, order: Sequence[int], found: Sequence[Any]) -> list[bool | BaseException]:
    results: list[bool | BaseException] = [False] * n
    for row in found:
        results[order[row[0] - 1]] = True
    return results
