"""Batches, in memory."""

from __future__ import annotations

import msgspec

from perdure.clock import Moment
from perdure.messages.batches import ENDED, Batch, BatchPage, BatchStore, Taken, batch_lost, no_batch
from perdure.stores.inmemory.contents import BatchRow, Contents
from perdure.stores.inmemory.files import finish_row, open_row

__all__ = ["InMemoryBatches"]


class InMemoryBatches(BatchStore):
    """Keeps batches.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._rows = contents.batches

    async def add(self, batch: Batch) -> Batch:
        """Keep a new batch, which is due at once."""
        with self._contents.open() as now:
            kept = msgspec.structs.replace(batch, created_at=now)
            self._rows[batch.id] = BatchRow(kept, now)
            return kept

    async def get(self, id: str, *, tenant: str | None) -> Batch:
        """Look at a batch."""
        with self._contents.open():
            return self._row(id, tenant).batch

    async def list(self, *, tenant: str | None, after: str | None = None, limit: int = 20) -> BatchPage:
        """List batches."""
        with self._contents.open():
            found = [row.batch for row in self._rows.values() if tenant in (None, row.batch.tenant)]
            found.sort(key=_age, reverse=True)
            if after is not None:
                last = _age(self._row(after, tenant).batch)
                found = [one for one in found if _age(one) < last]
            return BatchPage(found[:limit], len(found) > limit)

    async def cancel(self, id: str, *, tenant: str | None) -> Batch:
        """Say that a batch is not wanted any more."""
        with self._contents.open() as now:
            row = self._row(id, tenant)
            if row.batch.state not in ENDED and row.batch.cancelling_at is None:
                row.batch, row.due_at = msgspec.structs.replace(row.batch, cancelling_at=now), now
            return row.batch

    async def take(self, *, lasts_s: float) -> Taken | None:
        """Take the batch that has been due longest."""
        with self._contents.open() as now:
            due = [row for row in self._rows.values() if row.batch.state not in ENDED and row.due_at <= now]
            if not due:
                return None
            row = min(due, key=lambda one: (one.due_at, one.batch.id))
            row.token, row.due_at = row.token + 1, now + lasts_s
            return Taken(row.batch, row.token)

    async def keep(self, taken: Taken, batch: Batch, *, due_s: float) -> Batch:
        """Write how far a batch came."""
        with self._contents.open() as now:
            return self._keep(taken, batch, now + due_s)

    async def finish(self, taken: Taken, batch: Batch) -> Batch:
        """End a batch, and let its files be seen, both or neither."""
        with self._contents.open() as now:
            self._held(taken)
            files = [file for file in (batch.output_file, batch.error_file) if file is not None]
            for file in files:
                open_row(self._contents, file)
            for file in files:
                finish_row(self._contents, file, now, expires_s=batch.output_expires_s)
            return self._keep(taken, batch, now)

    def _keep(self, taken: Taken, batch: Batch, due_at: Moment) -> Batch:
        row = self._held(taken)
        row.batch = msgspec.structs.replace(batch, created_at=row.batch.created_at, cancelling_at=row.batch.cancelling_at)
        row.due_at = due_at
        return row.batch

    def _held(self, taken: Taken) -> BatchRow:
        row = self._rows[taken.batch.id]
        if row.token != taken.token or row.batch.state in ENDED:
            raise batch_lost(taken.batch.id)
        return row

    def _row(self, id: str, tenant: str | None) -> BatchRow:
        row = self._rows.get(id)
        if row is None or tenant not in (None, row.batch.tenant):
            raise no_batch(id)
        return row


def _age(batch: Batch) -> tuple[Moment, str]:
    return batch.created_at, batch.id
