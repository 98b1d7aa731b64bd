"""How a message looks from outside, put together from where it lies."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts, NotFound
from perdure.messages.dead import QUARANTINE_AT
from perdure.messages.ids import write
from perdure.messages.limits import GateName, Scope, held_by_limit, held_by_session
from perdure.messages.message import Attempt, Message, MessageId, State, View, Wait, WorkerId
from perdure.resources.usage import Usage
from perdure.stores.sql.obstacles import Obstacles
from perdure.stores.sql.places import state_of
from perdure.stores.sql.progress import Progress
from perdure.stores.sql.rows import message_from
from perdure.stores.sql.statements import Run, statement

__all__ = ["Viewer", "attempts"]

_MESSAGE, _LEASE, _OUTCOME = statement("view_message"), statement("view_lease"), statement("view_outcome")
_LATER, _WAITING, _QUARANTINE = statement("view_later"), statement("view_waiting"), statement("route_quarantine_of")
_ATTEMPTS, _RUN = statement("attempt_list"), statement("run_get")
_ATTEMPTS, _HELD, _POSITION = statement("attempt_list"), statement("view_held"), statement("held_position")
_COUNTED = 1000  # so far a place in a line is told
_decode_wait = msgspec.json.Decoder(Wait).decode
_decode_usage = msgspec.json.Decoder(Usage).decode
_decode_error = msgspec.json.Decoder(ErrorFacts).decode


class Viewer:
    """Looks at messages as of one read or transaction.

    Args:
        run (Run): Of a reader or a transaction.
        now (Moment): The store's time.
    """

    def __init__(self, run: Run, now: Moment) -> None:
        self._run = run
        self._obstacles = Obstacles(run, now)

    def view(self, id: MessageId, *, tenant: str | None = None) -> View:
        """Look at one message.

        Args:
            id (MessageId): Which.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            View: It.

        Raises:
            NotFound: No such message (of this tenant).
        """
        row = self._run(_MESSAGE, (id,)).fetchone()
        if row is None or tenant not in (None, row[2]):
            raise NotFound(f"there is no message {write(id)!r}", hint="Ids are shown by `perdure messages`.")
        message = message_from(id, row[3:7], row[2], row[7:22])
        progress = Progress(*row[22:])
        return self._view(message, row[1], progress, state_of(self._run, id))

    def _view(self, message: Message, route: int, progress: Progress, state: State) -> View:
        fields: dict[str, Any] = {
            "attempt": progress.used,
            "started_at": progress.started_at,
            "usage": None if progress.usage is None else _decode_usage(progress.usage),
        }
        if state is State.READY:
            fields["blocked_by"] = self._obstacles.of_id(self._lies_on(route, progress))
        elif state is State.LATER:
            fields["wait"] = self._later(message.id)
        elif state is State.WAITING:
            fields["wait"] = _decode_wait(self._run(_WAITING, (message.id,)).get)
        elif state is State.HELD:
            fields |= self._held(message.id)
        elif state is State.LEASED:
            worker, attempt, started_at, called_off = self._run(_LEASE, (message.id,)).fetchone()
            cancelling = called_off is not None
            fields |= {"worker": WorkerId(worker), "attempt": attempt, "started_at": started_at, "cancelling": cancelling}
        else:
            fields |= self._ended(message.id)
        fields |= self._of_run(message.id)
        return View(message=message, state=state, crashes=progress.crashes, revived=progress.revived, **fields)

    def _of_run(self, id: int) -> dict[str, Any]:
        row = self._run(_RUN, (id,)).fetchone()
        if row is None:
            return {}
        replayed, origin, step = row
        return {
            "replayed": None if replayed is None else _decode_usage(replayed),
            "forked_from": origin or None,
            "forked_step": step,
            "imported": origin == 0,
        }

    def _lies_on(self, route: int, progress: Progress) -> int:
        return route if progress.crashes < QUARANTINE_AT else int(self._run(_QUARANTINE, (route,)).get)

    def _later(self, id: int) -> Wait:
        at, text = self._run(_LATER, (id,)).fetchone()
        return Wait(why="delay", until=at) if text is None else _decode_wait(text)

    def _held(self, id: int) -> dict[str, Any]:
        route, session, tag, name, head, dead, scope, limit, key, at_once, due_at = self._run(_HELD, (id,)).fetchone()
        if session is None:
            return {"held_by": held_by_limit(GateName(Scope(scope), limit, key), at_once), "blocked_by": self._obstacles.of_id(route)}
        before = 1 + self._run(_POSITION, (session, tag, _COUNTED)).get
        return {
            "held_by": held_by_session(name, None if dead is None else write(head)),
            "position": before if before <= _COUNTED else None,
            "wait": None if due_at is None else Wait(why="delay", until=due_at),
        }

    def _ended(self, id: int) -> dict[str, Any]:
        used, started_at, ended_at, code_version, usage, error, result = self._run(_OUTCOME, (id,)).fetchone()
        return {
            "attempt": used,
            "started_at": started_at,
            "ended_at": ended_at,
            "code_version": code_version,
            "usage": None if usage is None else _decode_usage(usage),
            "error": None if error is None else _decode_error(error),
            "result": result,
        }


def attempts(run: Run, id: MessageId) -> list[Attempt]:
    """List what went wrong with a message.

    Args:
        run (Run): Of a reader.
        id (MessageId): Which.

    Returns:
        list[Attempt]: Oldest first.

    Raises:
        NotFound: No such message.
    """
    if run(_MESSAGE, (id,)).fetchone() is None:
        raise NotFound(f"there is no message {write(id)!r}", hint="Ids are shown by `perdure messages`.")
    return [
        Attempt(n=n, kind=kind, error=_decode_error(error), at=at, worker=worker) for n, kind, error, at, worker in run(_ATTEMPTS, (id,))
    ]
