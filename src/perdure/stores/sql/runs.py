"""Runs made of other runs: forks and imports, each in one transaction."""

from __future__ import annotations

import asyncio

import msgspec

from perdure.agents.journal import Step, StepState
from perdure.agents.runs import IMPORTED, Brought, Ended, Fork, Record, Runs, forked
from perdure.agents.talk import Ref, head_of, name_after, name_of_head
from perdure.clock import Moment
from perdure.messages.ids import write
from perdure.messages.message import Attempt, MessageId, Move, State, View, Wait
from perdure.security.audit import Actor
from perdure.stores.sql import put as putting
from perdure.stores.sql.admission import leave
from perdure.stores.sql.endings import end
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.finish import log_attempt
from perdure.stores.sql.parcels import Parcel, parcel, said_rows, talk_ref
from perdure.stores.sql.places import Place, enter_wait, find
from perdure.stores.sql.progress import Progress, failed_text, keep_progress, progress_of, usage_text
from perdure.stores.sql.recall import Kept, read_steps
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.steps import keep, keep_request
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sql.views import Viewer, attempts

__all__ = ["SqlRuns"]

_LAST, _DONE, _RUN = statement("step_last"), statement("step_count_done"), statement("run_add")
_TAKE_OVER = [statement(name) for name in ("steps_take_over", "requests_take_over", "said_take_over", "body_uses_take_over")]
_ADD = statement("step_bring")
_ENDINGS = {State.DONE: Move.FINISH, State.DEAD: Move.BURY, State.CANCELLED: Move.CANCEL}


class SqlRuns(Runs):
    """Makes runs of other runs.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def fork(self, id: MessageId, fork: Fork, *, tenant: str | None = None, by: Actor | None = None) -> View:
        """Put a message like another one, whose run goes on from a step of that one's."""
        return await self._engine.write(_fork, id, fork, tenant, by)

    async def record(self, id: MessageId, *, tenant: str | None = None) -> tuple[View, Record]:
        """Read all there is of a run, as of one moment."""
        view, attempts, kept = await self._engine.read(_record, id, tenant, self._engine.clock.now())
        steps, said, asked = await asyncio.to_thread(kept.record)
        return view, Record(attempts=attempts, steps=steps, said=said, asked=asked)

    async def bring(self, run: Brought, *, by: Actor | None = None) -> View:
        """Put a message that comes with its journal."""
        packed = await asyncio.to_thread(_Packed, run.record)
        return await self._engine.write(_bring, run, packed, by, size_bytes=packed.size_bytes)


class _Packed:
    """The steps of a run that is brought, ready to be written.

    Args:
        record (Record): What it did.
    """

    def __init__(self, record: Record) -> None:
        names: list[bytes] = []
        depths: list[int] = []
        rows: list[tuple[bytes, bytes, bytes]] = []
        for after, message in record.said:
            before = names[after] if after >= 0 else b""
            names.append(name_after(before, message))
            depths.append(depths[after] + 1 if after >= 0 else 1)
            rows.append((names[-1], before, message))
        heads = {text: head_of(text) for text in {one.head for one in record.asked.values()}}
        rows += [(name_of_head(head), b"", head) for head in heads.values()]
        said, bodies = said_rows(rows)
        self.said: Parcel = Parcel(b"", said, bodies)
        self.requests: dict[int, Parcel] = {
            number: Parcel(talk_ref(Ref(name_of_head(heads[one.head]), names[one.last], depths[one.last])))
            for number, one in record.asked.items()
        }
        self.requests |= {step.number: parcel(step.request) for step in record.steps if step.request is not None}
        self.results: dict[int, Parcel] = {step.number: parcel(step.result) for step in record.steps if step.result is not None}

    @property
    def size_bytes(self) -> int:
        """Roughly how much it writes."""
        return sum(one.size_bytes for one in (self.said, *self.requests.values(), *self.results.values()))


def _record(run: Run, id: MessageId, tenant: str | None, now: Moment) -> tuple[View, list[Attempt], Kept]:
    view = Viewer(run, now).view(id, tenant=tenant)
    return view, attempts(run, id), read_steps(run, id)


def _fork(tx: Transaction, id: MessageId, fork: Fork, tenant: str | None, by: Actor | None) -> View:
    find(tx, id, tenant)
    message = Viewer(tx.run, tx.now).view(id).message
    new = forked(message, fork, last=int(tx.run(_LAST, (id,)).get))
    [receipt] = putting.put(tx, [new])
    for take_over in _TAKE_OVER:
        tx.run(take_over, (receipt.id, id, fork.step))
    tx.run(_RUN, (receipt.id, id, fork.step))
    keep_progress(tx, receipt.id, Progress(results=int(tx.run(_DONE, (receipt.id,)).get)))
    tx.audit(by, "run.fork", write(receipt.id), original=write(id), step=fork.step)
    return Viewer(tx.run, tx.now).view(receipt.id)


def _bring(tx: Transaction, run: Brought, packed: _Packed, by: Actor | None) -> View:
    [receipt] = putting.put(tx, [msgspec.structs.replace(run.message, session=None)])  # its line is elsewhere
    keep(tx, receipt.id, packed.said)
    for step in run.record.steps:
        _bring_step(tx, receipt.id, step, packed.requests.get(step.number), packed.results.get(step.number))
    for attempt in run.record.attempts:
        log_attempt(tx, receipt.id, attempt)
    tx.run(_RUN, (receipt.id, IMPORTED, None))
    results = sum(step.state is StepState.DONE for step in run.record.steps)
    keep_progress(tx, receipt.id, Progress(used=run.used, results=results))
    if run.ended is not None or run.wait is not None:
        place, state = find(tx, receipt.id, None)
        if run.ended is not None:
            _end(tx, place, state, run.ended)
        elif run.wait is not None:
            _wait(tx, place, state, run.wait)
    tx.audit(by, "run.import", write(receipt.id), steps=len(run.record.steps), goes_on=run.ended is None)
    return Viewer(tx.run, tx.now).view(receipt.id)


def _bring_step(tx: Transaction, message: int, step: Step, request: Parcel | None, result: Parcel | None) -> None:
    key = step.key
    head = (
        message,
        step.number,
        key.scope,
        key.kind,
        key.name,
        key.fingerprint,
        key.n,
        step.state,
        step.attempt,
        step.tries,
        step.ambiguous,
    )
    times = (step.began_at, step.ended_at, step.until)
    marks = (int(step.idempotent), int(step.diverged), step.tool_version, step.decided_by, step.format, IMPORTED)
    error = None if step.error is None else msgspec.json.encode(step.error)
    said = (step.lane, failed_text(step.failed_tries), usage_text(step.usage), error, None if result is None else result.data)
    row = int(tx.run(_ADD, (*head, *times, *marks, *said)).get)
    if result is not None:
        keep(tx, message, result)
    keep_request(tx, message, row, request)


def _end(tx: Transaction, place: Place, state: State, ended: Ended) -> None:
    """Bring it to its end by the ways that `MOVES` knows, telling nobody: all this was elsewhere."""
    leave(tx, place, state, 0)
    if ended.state is State.DONE:
        state = _as_leased(tx, place, state)
    new = tx.move(place.id, place.route, state, _ENDINGS[ended.state])
    end(
        tx,
        place,
        new,
        used=ended.attempts,
        started_at=ended.started_at,
        usage=ended.usage,
        error=ended.error,
        result=ended.result,
        code_version=ended.code_version,
    )


def _wait(tx: Transaction, place: Place, state: State, wait: Wait) -> None:
    leave(tx, place, state, 0)
    tx.move(place.id, place.route, _as_leased(tx, place, state), wait.move)
    since = tx.now if wait.is_endless else None
    if since is not None:
        keep_progress(tx, place.id, progress_of(tx.run, place.id)._replace(waiting_since=since))
    enter_wait(tx, place, wait, since)


def _as_leased(tx: Transaction, place: Place, state: State) -> State:
    if state is State.HELD:
        state = tx.move(place.id, place.route, state, Move.ADMIT)
    return tx.move(place.id, place.route, state, Move.LEASE)
