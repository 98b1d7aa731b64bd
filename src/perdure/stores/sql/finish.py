"""What a worker can say of a message it holds: done, retry, bury, park, release. Each checks the fence first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts, LeaseLost
from perdure.messages.message import Attempt, Lease, Move, State, Wait
from perdure.messages.store import Ended
from perdure.resources.usage import Usage
from perdure.stores.sql.admission import enter_ready, give_back_slots
from perdure.stores.sql.endings import end
from perdure.stores.sql.fence import Held, is_held, take_back
from perdure.stores.sql.mail import has_come
from perdure.stores.sql.places import Place, enter_wait, facts_of
from perdure.stores.sql.progress import keep_progress, progress_of, usage_text
from perdure.stores.sql.statements import statement
from perdure.stores.sql.together import done_together
from perdure.stores.sql.transaction import Transaction

__all__ = ["bury", "cancel_held", "done", "done_many", "give_back", "log_attempt", "park", "release", "release_held", "retry"]

_ATTEMPT, _AGAIN = statement("attempt_add"), statement("step_again")


def done(tx: Transaction, lease: Lease, result: bytes, *, usage: Usage | None, code_version: str | None) -> None:
    """End a message well.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to it.
        result (bytes): JSON.
        usage (Usage | None): All that its run used.
        code_version (str | None): The agent's code that did it.
    """
    held = take_back(tx, lease)
    place = _place(tx, lease, held)
    facts = facts_of(tx, place, held.attempt)
    facts["took_s"] = tx.now - lease.leased_at
    state = tx.move(place.id, place.route, State.LEASED, Move.FINISH, facts)
    if held.gates is not None:
        give_back_slots(tx, held.gates)
    end(tx, place, state, used=held.attempt, started_at=held.started_at, usage=usage, result=result, code_version=code_version)


def done_many(tx: Transaction, ended: Sequence[Ended]) -> list[LeaseLost | None]:
    """End many messages well.

    Args:
        tx (Transaction): What is being committed.
        ended (Sequence[Ended]): Which, and with what.

    Returns:
        list[LeaseLost | None]: For each why it was refused; None where it is done.
    """
    together = done_together(tx, ended)
    lost: list[LeaseLost | None] = []
    for place, one in enumerate(ended):
        try:
            if place not in together:
                done(tx, one.lease, one.result, usage=one.usage, code_version=one.code_version)
        except LeaseLost as error:  # nothing of it was written
            lost.append(error)
        else:
            lost.append(None)
    return lost


def retry(tx: Transaction, lease: Lease, error: ErrorFacts, *, at: Moment, step: int | None, usage: Usage | None) -> None:
    """Use up this attempt and try again at a moment.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to it.
        error (ErrorFacts): What ended the attempt.
        at (Moment): When to run again.
        step (int | None): The recorded step whose failure ended it.
        usage (Usage | None): All that its run used so far.
    """
    held = take_back(tx, lease)
    place = _place(tx, lease, held)
    if held.called_off is not None:
        _failed(tx, lease, "retry", error, step)
        cancel_held(tx, place, held, used=held.attempt, usage=usage)
        return
    tx.move(place.id, place.route, State.LEASED, Move.RETRY, facts_of(tx, place, held.attempt, error))
    _failed(tx, lease, "retry", error, step)
    before = progress_of(tx.run, place.id)
    keep_progress(
        tx,
        place.id,
        before._replace(used=held.attempt, started_at=held.started_at, waiting_since=None, usage=usage_text(usage) or before.usage),
    )
    enter_wait(tx, place, Wait(why="backoff", until=at, step=step, error=error), None)
    give_back_slots(tx, held.gates)


def bury(tx: Transaction, lease: Lease, error: ErrorFacts, *, step: int | None, usage: Usage | None, uses_attempt: bool) -> None:
    """Give a message up.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to it.
        error (ErrorFacts): Why.
        step (int | None): The recorded step that failed.
        usage (Usage | None): All that its run used.
        uses_attempt (bool): False for `deadline-passed` and the like.
    """
    held = take_back(tx, lease)
    place = _place(tx, lease, held)
    used = held.attempt if uses_attempt else held.attempt - 1
    if held.called_off is not None:
        _failed(tx, lease, "bury", error, step)
        cancel_held(tx, place, held, used=used, usage=usage)
        return
    state = tx.move(place.id, place.route, State.LEASED, Move.BURY, facts_of(tx, place, used, error))
    _failed(tx, lease, "bury", error, step)
    give_back_slots(tx, held.gates)
    end(tx, place, state, used=used, started_at=held.started_at, usage=usage, error=error)


def park(tx: Transaction, lease: Lease, wait: Wait) -> None:
    """Let a message wait without a worker.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to it.
        wait (Wait): For what.
    """
    held = take_back(tx, lease)
    place = _place(tx, lease, held)
    if held.called_off is not None or has_come(tx, lease.message.id, wait):
        release_held(tx, place, held)
        return
    facts = facts_of(tx, place, held.attempt - 1, wait.error)
    facts["why"] = wait.why
    tx.move(place.id, place.route, State.LEASED, wait.move, facts)
    before = progress_of(tx.run, place.id)
    since = (before.waiting_since or tx.now) if wait.is_endless else None
    keep_progress(tx, place.id, before._replace(started_at=held.started_at, waiting_since=since))
    enter_wait(tx, place, wait, since)
    give_back_slots(tx, held.gates)


def release(tx: Transaction, lease: Lease) -> None:
    """Give a message back, ready at once.

    Args:
        tx (Transaction): What is being committed.
        lease (Lease): The right to it.
    """
    held = take_back(tx, lease)
    release_held(tx, _place(tx, lease, held), held)


def give_back(tx: Transaction, leases: Sequence[Lease]) -> None:
    """Release what was leased for somebody who has gone meanwhile; what is no longer held is let be.

    Args:
        tx (Transaction): What is being committed.
        leases (Sequence[Lease]): All that was leased.
    """
    for lease in leases:
        if is_held(tx, lease):
            release(tx, lease)


def release_held(tx: Transaction, place: Place, held: Held) -> None:
    """Let a message lie ready again whose lease has just been taken back, no crash counted; a called-off one ends.

    It keeps its slots under limits.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        held (Held): What was known of its lease.
    """
    if held.called_off is not None:
        cancel_held(tx, place, held, used=held.attempt - 1)
        return
    keep_progress(tx, place.id, progress_of(tx.run, place.id)._replace(started_at=held.started_at))
    state = enter_ready(tx, place, held.crashes, slots=held.gates)
    facts = facts_of(tx, place, held.attempt - 1)
    tx.move(place.id, place.route, State.LEASED, Move.RELEASE, facts, held=state is State.HELD)


def cancel_held(tx: Transaction, place: Place, held: Held, *, used: int, usage: Usage | None = None) -> None:
    """Cancel a message that was called off while it ran, and whose lease has just been taken back.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        held (Held): What was known of its lease.
        used (int): Attempts used.
        usage (Usage | None): All that its run used; None for the sum over its steps.
    """
    state = tx.move(place.id, place.route, State.LEASED, Move.CANCEL, facts_of(tx, place, used))
    give_back_slots(tx, held.gates)
    end(tx, place, state, used=used, started_at=held.started_at, usage=usage)


def log_attempt(tx: Transaction, id: int, attempt: Attempt) -> None:
    """Keep what went wrong with a message.

    Args:
        tx (Transaction): What is being committed.
        id (int): Which.
        attempt (Attempt): What went wrong in it.
    """
    tx.run(_ATTEMPT, (id, attempt.n, attempt.kind, attempt.at, attempt.worker, msgspec.json.encode(attempt.error)))


def _place(tx: Transaction, lease: Lease, held: Held) -> Place:
    put = lease.message
    route = tx.names.route_by_id(held.route)
    return Place(
        put.id,
        route,
        held.tenant,
        put.priority,
        put.deadline,
        put.max_wait_s,
        put.parent,
        put.group,
        put.session,
        put.on_dead,
        put.key,
        put.cost,
    )


def _failed(tx: Transaction, lease: Lease, kind: str, error: ErrorFacts, step: int | None) -> None:
    log_attempt(tx, lease.message.id, Attempt(n=lease.attempt, kind=kind, error=error, at=tx.now, worker=lease.worker))
    if step is not None:
        tx.run(_AGAIN, (lease.message.id, step))
