"""Messages that are tried again, parked, given up or given back: what many runs say at once is one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts, PerdureError
from perdure.messages.message import Lease, Move, State, Wait, after
from perdure.resources.batcher import Batcher
from perdure.resources.usage import Usage
from perdure.stores.postgres.endings import belongs_to_nobody
from perdure.stores.postgres.hot import Event, Ground, columns, each_apart, hot
from perdure.stores.postgres.marked import write
from perdure.stores.postgres.takeover import give_back
from perdure.stores.postgres.used import used_by
from perdure.stores.sql.progress import usage_text

__all__ = ["Setbacks"]

_LEAVE = hot("leave_many")
_MOST_CALLS, _MOST_BYTES, _ROW_BYTES = 500, 4 * 1024 * 1024, 512
_TOTALS = {Move.RETRY: "retried", Move.BURY: "dead"}
_TOLD = {Move.RETRY: "message.retried", Move.BURY: "message.dead", Move.PARK: "message.parked", Move.ASK: "message.parked"}
_encode = msgspec.json.Encoder().encode


class _Setback(NamedTuple):
    lease: Lease
    move: Move
    wait: Wait | None
    error: ErrorFacts | None
    step: int | None
    usage: Usage | None
    given_back: int
    """Attempts that are not used up after all."""


class Setbacks:
    """Gathers what a process's runs say when they do not end well.

    Args:
        ground (Ground): The engine.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._batcher = Batcher(self._flush, most_items=_MOST_CALLS, most_bytes=_MOST_BYTES, flushes=2)
        self._releases = Batcher(self._flush_releases, most_items=_MOST_CALLS, most_bytes=_MOST_BYTES, flushes=2)

    async def retry(self, lease: Lease, error: ErrorFacts, *, at: Moment, step: int | None, usage: Usage | None) -> bool:
        """Use up this attempt and try again at a moment.

        Args:
            lease (Lease): The right to it.
            error (ErrorFacts): What ended the attempt.
            at (Moment): When to run again.
            step (int | None): The recorded step whose failure ended it.
            usage (Usage | None): All that its run used so far.

        Returns:
            bool: False if nothing was written, since something about it is unusual.
        """
        wait = Wait(why="backoff", until=at, step=step, error=error)
        return await self._add(_Setback(lease, Move.RETRY, wait, error, step, usage, 0))

    async def bury(self, lease: Lease, error: ErrorFacts, *, step: int | None, usage: Usage | None, uses_attempt: bool) -> bool:
        """Give a message up.

        Args:
            lease (Lease): The right to it.
            error (ErrorFacts): Why.
            step (int | None): The recorded step that failed.
            usage (Usage | None): All that its run used.
            uses_attempt (bool): False for `deadline-passed` and the like.

        Returns:
            bool: False if nothing was written, since something about it is unusual.
        """
        if not belongs_to_nobody(lease):
            return False
        return await self._add(_Setback(lease, Move.BURY, None, error, step, usage, int(not uses_attempt)))

    async def park(self, lease: Lease, wait: Wait) -> bool:
        """Let a message wait without a worker.

        Args:
            lease (Lease): The right to it.
            wait (Wait): For what.

        Returns:
            bool: False if nothing was written, since something about it is unusual.
        """
        if wait.events:  # what it waits for may have come
            return False
        return await self._add(_Setback(lease, wait.move, wait, None, None, None, 1))

    async def release(self, lease: Lease) -> bool:
        """Give a message back, ready at once.

        Args:
            lease (Lease): The right to it.

        Returns:
            bool: False if nothing was written, since something about it is unusual.
        """
        if lease.message.session is not None:
            return False
        return await self._releases.add(lease, size_bytes=_ROW_BYTES)

    async def close(self) -> None:
        """Write what was said, then end."""
        await self._batcher.close()
        await self._releases.close()

    async def _add(self, setback: _Setback) -> bool:
        return await self._batcher.add(setback, size_bytes=_ROW_BYTES)

    async def _flush(self, setbacks: Sequence[_Setback]) -> list[bool | BaseException]:
        try:
            return await self._write(setbacks)
        except PerdureError as error:
            return await each_apart(self._write, setbacks, error)

    async def _flush_releases(self, leases: Sequence[Lease]) -> list[bool | BaseException]:
        try:
            return await self._release(leases)
        except PerdureError as error:
            return await each_apart(self._release, leases, error)

    async def _release(self, leases: Sequence[Lease]) -> list[bool | BaseException]:
        given_back = await self._ground.write(give_back, [(one.message.id, one.token) for one in leases])
        return [(one.message.id, one.token) in given_back for one in leases]

    async def _write(self, setbacks: Sequence[_Setback]) -> list[bool | BaseException]:
        now = self._ground.clock.now()
        order = sorted(range(len(setbacks)), key=lambda at: setbacks[at].lease.message.id)
        unsaid = [one.lease.message.id for one in setbacks if one.move is Move.BURY and one.usage is None]
        used = await used_by(self._ground, unsaid)
        rows = [_row(setbacks[at], used) for at in order]
        found = await write(self._ground, _LEAVE, now, *columns(rows, 15))
        results: list[bool | BaseException] = [False] * len(setbacks)
        for row in found:
            results[order[row[0] - 1]] = True
        if found:
            events = [_told(setbacks[order[row[0] - 1]]) for row in found]
            self._ground.committed(max(row[1] for row in found), events)
        return results


def _row(setback: _Setback, used: dict[int, bytes]) -> tuple[object, ...]:
    lease, move, wait, error, step, usage, given_back = setback
    message = lease.message
    return (
        message.id,
        lease.token,
        "park" if move is Move.ASK else move,
        after(State.LEASED, move),
        _TOTALS.get(move),
        given_back,
        None if wait is None else wait.until,
        None if wait is None else _encode(wait),
        wait is not None and move is not Move.RETRY and wait.is_endless,
        None if error is None else error.code,
        None if error is None else _encode(error),
        step,
        used.get(message.id) if move is Move.BURY and usage is None else usage_text(usage),
        message.deadline,
        message.max_wait_s,
    )


def _told(setback: _Setback) -> Event:
    lease, move, wait, error, _, _, given_back = setback
    message, cause = lease.message, error if wait is None else wait.error
    facts = {
        "message": message.id,
        "agent": message.agent,
        "queue": message.queue,
        "tenant": message.tenant,
        "attempt": lease.attempt - given_back,
        "code": None if cause is None else cause.code,
    }
    if wait is not None and move is not Move.RETRY:
        facts["why"] = wait.why
    return _TOLD[move], facts
