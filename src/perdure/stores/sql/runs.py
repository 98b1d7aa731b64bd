"""Runs made of other runs: forks and imports, each in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from perdure.agents.journal import Step, StepKind, StepState
from perdure.agents.runs import IMPORTED, Brought, Ended, Fork, Runs, forked
from perdure.messages.message import MessageId, Move, State, View, Wait
from perdure.stores.sql import put as putting
from perdure.stores.sql.endings import end
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.finish import log_attempt
from perdure.stores.sql.parcels import Parcel, parcel, talk_parcel
from perdure.stores.sql.places import Place, enter_wait, find, leave
from perdure.stores.sql.progress import Progress, keep_progress, progress_of, usage_text
from perdure.stores.sql.statements import statement
from perdure.stores.sql.steps import keep, keep_request
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sql.views import Viewer

__all__ = ["SqlRuns"]

_LAST, _DONE, _RUN = statement("step_last"), statement("step_count_done"), statement("run_add")
_TAKE_OVER = [statement(name) for name in ("steps_take_over", "requests_take_over", "said_take_over", "body_uses_take_over")]
_ADD = statement("step_bring")
_ENDINGS = {State.DONE: Move.FINISH, State.DEAD: Move.BURY, State.CANCELLED: Move.CANCEL}
_Packed = tuple[Step, Parcel | None, Parcel | None]


class SqlRuns(Runs):
    """Makes runs of other runs.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def fork(self, id: MessageId, fork: Fork, *, tenant: str | None = None) -> View:
        """Put a message like another one, whose run goes on from a step of that one's."""
        return await self._engine.write(_fork, id, fork, tenant)

    async def bring(self, run: Brought) -> View:
        """Put a message that comes with its journal."""
        packed = await asyncio.to_thread(_packed, run.steps)
        size_bytes = sum(one.size_bytes for _, *both in packed for one in both if one is not None)
        return await self._engine.write(_bring, run, packed, size_bytes=size_bytes)


def _fork(tx: Transaction, id: MessageId, fork: Fork, tenant: str | None) -> View:
    find(tx, id, tenant)
    message = Viewer(tx.run, tx.now).view(id).message
    new = forked(message, fork, last=int(tx.run(_LAST, (id,)).get))
    [receipt] = putting.put(tx, [new])
    for take_over in _TAKE_OVER:
        tx.run(take_over, (receipt.id, id, fork.step))
    tx.run(_RUN, (receipt.id, id, fork.step))
    keep_progress(tx, receipt.id, Progress(results=int(tx.run(_DONE, (receipt.id,)).get)))
    return Viewer(tx.run, tx.now).view(receipt.id)


def _bring(tx: Transaction, run: Brought, packed: Sequence[_Packed]) -> View:
    [receipt] = putting.put(tx, [run.message])
    for step, request, result in packed:
        _bring_step(tx, receipt.id, step, request, result)
    for attempt in run.attempts:
        log_attempt(tx, receipt.id, attempt)
    tx.run(_RUN, (receipt.id, IMPORTED, None))
    keep_progress(tx, receipt.id, Progress(used=run.used, results=sum(step.state is StepState.DONE for step in run.steps)))
    if run.ended is not None or run.wait is not None:
        place, state = find(tx, receipt.id, None)
        if run.ended is not None:
            _end(tx, place, state, run.ended)
        elif run.wait is not None:
            _wait(tx, place, state, run.wait)
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
    said = (usage_text(step.usage), error, None if result is None else result.data)
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


def _packed(steps: Sequence[Step]) -> list[_Packed]:
    known: set[bytes] = set()
    return [(step, _request(step, known), None if step.result is None else parcel(step.result)) for step in steps]


def _request(step: Step, known: set[bytes]) -> Parcel | None:
    if step.request is None:
        return None
    made = talk_parcel(step.request, known) if step.key.kind is StepKind.LLM else parcel(step.request)
    if made.talk is not None:
        known |= {made.talk.head, made.talk.last}
    return made
