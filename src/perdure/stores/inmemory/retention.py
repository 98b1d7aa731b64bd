"""Forgetting what was kept long enough, in memory: it looks at everything each time."""

from __future__ import annotations

from perdure.clock import Moment
from perdure.messages.batches import ENDED
from perdure.messages.message import ENDS
from perdure.messages.retention import CHANGES_EACH, Keep, Retention, Tidied
from perdure.messages.store import Change
from perdure.security.audit import Deed
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.rows import Row

__all__ = ["InMemoryRetention"]


class InMemoryRetention(Retention):
    """Forgets what has been kept long enough.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def tidy(self, keep: Keep, *, limit: int = 500) -> Tidied:
        """Forget one bite of it."""
        with self._contents.open() as now:
            ended = [row for row in self._contents.rows.values() if row.state in ENDS]
            going = [row for row in ended if keep.message_goes_at(row.state, row.ended_at, now, stays=self._stays(row)) <= now]
            lighter = [row for row in ended if self._has_steps(row) and keep.journal_goes_at(row.state, row.ended_at, now) <= now]
            for row in going[:limit]:
                self._contents.forget(row)
            for row in lighter[:limit]:
                self._contents.steps.pop(row.message.id, None)
            deeds = _forget_first(self._contents.deeds, limit, keep.audit_s, now)
            changes = _forget_first(self._contents.changes, limit * CHANGES_EACH, keep.changes_s, now)
            workers = self._forget_workers(keep, limit, now)
            calls = self._forget_calls(keep, limit, now)
            responses = self._forget_responses(keep, limit, now)
            batches = self._forget_batches(keep, limit, now)
            full = limit in (deeds, workers, calls, responses, batches) or changes == limit * CHANGES_EACH
            return Tidied(
                messages=len(going[:limit]),
                journals=len(lighter[:limit]),
                deeds=deeds,
                changes=changes,
                workers=workers,
                calls=calls,
                responses=responses,
                batches=batches,
                more=full or max(len(going), len(lighter)) > limit,
            )

    async def sizes(self) -> dict[str, int]:
        """Tell how much room the store takes."""
        with self._contents.open():
            size = sum(len(row.message.body) + len(row.result or b"") for row in self._contents.rows.values())
        return {"bytes": size, "free_bytes": 0}

    def _stays(self, row: Row) -> bool:
        parent = None if row.message.parent is None else self._contents.rows.get(row.message.parent)
        return (parent is not None and parent.state not in ENDS) or self._contents.kin.is_expected(row)

    def _has_steps(self, row: Row) -> bool:
        return bool(self._contents.steps.get(row.message.id))

    def _forget_calls(self, keep: Keep, limit: int, now: Moment) -> int:
        if keep.calls_s is None:
            return 0
        kept = sorted(self._contents.calls.items(), key=lambda one: one[1].at)
        old = [name for name, row in kept if row.at < now - keep.calls_s and (row.answer is not None or row.until < now)][:limit]
        for name in old:
            del self._contents.calls[name]
        return len(old)

    def _forget_responses(self, keep: Keep, limit: int, now: Moment) -> int:
        if keep.responses_s is None:
            return 0
        old = [name for name, (at, _) in self._contents.responses.items() if at < now - keep.responses_s][:limit]
        for name in old:
            del self._contents.responses[name]
        return len(old)

    def _forget_batches(self, keep: Keep, limit: int, now: Moment) -> int:
        if keep.batches_s is None:
            return 0
        ended = [(name, row.due_at) for name, row in self._contents.batches.items() if row.batch.state in ENDED]
        old = [name for name, ended_at in ended if ended_at < now - keep.batches_s][:limit]
        for name in old:
            del self._contents.batches[name]
        return len(old)

    def _forget_workers(self, keep: Keep, limit: int, now: Moment) -> int:
        if keep.workers_s is None:
            return 0
        ended = [(worker, row.ended_at) for worker, row in self._contents.workers.items() if row.ended_at is not None]
        old = [worker for worker, ended_at in ended if ended_at < now - keep.workers_s][:limit]
        for worker in old:
            del self._contents.workers[worker]
        return len(old)


def _forget_first(kept: list[Deed] | list[Change], limit: int, kept_s: float | None, now: Moment) -> int:
    if kept_s is None:
        return 0
    old = [one for one in kept[:limit] if one.at < now - kept_s]
    del kept[: len(old)]
    return len(old)
