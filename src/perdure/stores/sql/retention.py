"""Forgetting what has been kept long enough, in bites, by a walk that remembers how far it came.

See `messages/retention.py` for why nothing is marked on the hot path. Messages the walk had to pass by
are in `expiry`, each under the first moment at which it could go.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.messages.message import State
from perdure.messages.retention import CHANGES_EACH, Keep, Retention, Tidied
from perdure.messages.spending import day_of
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.erase import forget_journals
from perdure.stores.sql.forget import forget, ids_text
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction, sees_latest

__all__ = ["SqlRetention"]

_LOOK, _REACHED, _REACH = statement("tidying_look"), statement("tidying_reached"), statement("tidying_reach")
_WALK, _FACTS = statement("tidying_walk"), statement("tidying_facts")
_PASSED, _PASS, _SEEN = statement("expiry_due"), statement("expiry_add"), statement("expiry_seen")
_AUDIT, _WORKERS, _SIZES = statement("audit_forget"), statement("worker_forget"), statement("store_sizes")
_OLD_CHANGES, _CHANGES = statement("change_old"), statement("change_forget")
_LEDGER, _CALLS = statement("ledger_forget"), statement("call_forget")
_RESPONSES, _BATCHES = statement("response_forget"), statement("batch_forget")
_NEVER = -math.inf


class _Facts(NamedTuple):
    id: int
    route: int
    state: str | None
    ended_at: Moment | None
    stays: int


class SqlRetention(Retention):
    """Forgets what has been kept long enough.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def tidy(self, keep: Keep, *, limit: int = 500) -> Tidied:
        """Forget one bite of it."""
        if not await self._engine.read(_look, keep, self._engine.clock.now()):
            return Tidied()
        changes = await self._engine.write(_forget_changes, keep, limit * CHANGES_EACH)
        tidied = await self._engine.write(_tidy, keep, limit)
        return msgspec.structs.replace(tidied, changes=changes, more=tidied.more or changes == limit * CHANGES_EACH)

    async def sizes(self) -> dict[str, int]:
        """Tell how much room the store takes."""
        return await self._engine.read(_sizes)


def _look(run: Run, keep: Keep, now: Moment) -> bool:
    kept = (keep.audit_s, keep.changes_s, keep.workers_s, keep.calls_s, keep.responses_s, keep.batches_s)
    before = (_before(now, kept_s) for kept_s in kept)
    return bool(run(_LOOK, (now, now - keep.shortest_s, now - keep.journal_s, *before)).get)


def _before(now: Moment, kept_s: float | None) -> Moment:
    return _NEVER if kept_s is None else now - kept_s


@sees_latest
def _forget_changes(tx: Transaction, keep: Keep, limit: int) -> int:
    """Apart from all else: with many writers, another who does it at the same moment only waits for a moment."""
    newest, n = tx.run(_OLD_CHANGES, (_before(tx.now, keep.changes_s), limit)).fetchone()
    if n:
        tx.settle()
        tx.run(_CHANGES, (newest,))
    return int(n)


def _tidy(tx: Transaction, keep: Keep, limit: int) -> Tidied:
    messages = _Walk(tx, "message", keep.shortest_s, limit)
    gone = _forget_messages(tx, keep, messages)
    journals = _Walk(tx, "journal", keep.journal_s, limit)
    lighter = _forget_journals(tx, keep, journals)
    deeds = len(tx.run(_AUDIT, (_before(tx.now, keep.audit_s), limit)).fetchall())
    if keep.audit_s is not None:
        tx.run(_LEDGER, (day_of(tx.now - keep.audit_s),))
    workers = len(tx.run(_WORKERS, (_before(tx.now, keep.workers_s), limit)).fetchall())
    calls = len(tx.run(_CALLS, (_before(tx.now, keep.calls_s), tx.now, limit)).fetchall())
    responses = len(tx.run(_RESPONSES, (_before(tx.now, keep.responses_s), limit)).fetchall())
    batches = len(tx.run(_BATCHES, (_before(tx.now, keep.batches_s), limit)).fetchall())
    more = messages.full or journals.full or limit in (deeds, workers, calls, responses, batches)
    return Tidied(
        messages=gone, journals=lighter, deeds=deeds, workers=workers, calls=calls, responses=responses, batches=batches, more=more
    )


def _sizes(run: Run) -> dict[str, int]:
    whole, free = run(_SIZES).get
    return {"bytes": whole, "free_bytes": free}


class _Walk:
    """One bite of a walk: those it has come to, and those it passed by whose moment has come."""

    def __init__(self, tx: Transaction, kind: str, shortest_s: float, limit: int) -> None:
        self._tx, self._kind = tx, f"tidy-{kind}"
        again = tx.run(_PASSED, (self._kind, tx.now, limit)).fetchall()
        for at, one in again:
            tx.run(_SEEN, (self._kind, at, one))
        reached = tx.run(_REACHED, (kind,)).get
        rows = tx.run(_WALK, (reached, limit)).fetchall() if shortest_s < math.inf else []
        new = [one for one, created_at in rows if created_at <= tx.now - shortest_s]
        if new:
            tx.run(_REACH, (kind, new[-1]))
        self.full: bool = len(again) == limit or len(new) == limit
        ids = sorted({one for _, one in again} | set(new))
        self.facts: list[_Facts] = [_Facts(*row) for row in tx.run(_FACTS, (ids_text(ids),)).fetchall()] if ids else []

    def pass_by(self, id: int, at: Moment) -> None:
        """Look at one again, and not before it could go."""
        if at < math.inf:
            self._tx.run(_PASS, (self._kind, at, id))


def _forget_messages(tx: Transaction, keep: Keep, walk: _Walk) -> int:
    gone = []
    for one in walk.facts:
        at = keep.message_goes_at(one.state, one.ended_at, tx.now, stays=bool(one.stays))
        if at > tx.now:
            walk.pass_by(one.id, at)
        else:
            gone.append(one.id)
            tx.gone(tx.names.route_by_id(one.route), State(one.state or ""))
    if gone:
        forget(tx, gone)
    return len(gone)


def _forget_journals(tx: Transaction, keep: Keep, walk: _Walk) -> int:
    gone = []
    for one in walk.facts:
        at = keep.journal_goes_at(one.state, one.ended_at, tx.now)
        if at > tx.now:
            walk.pass_by(one.id, at)
        else:
            gone.append(one.id)
    if gone:
        forget_journals(tx, gone)
    return len(gone)
