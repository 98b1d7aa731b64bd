"""Batches, in the store."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from perdure.messages.batches import ENDED, Batch, BatchPage, BatchStore, Taken, batch_lost, no_batch
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.files import finish_file
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction, sees_latest

__all__ = ["SqlBatches"]

_ADD, _GET, _LIST, _CANCEL = (statement(f"batch_{verb}") for verb in ("add", "get", "list", "cancel"))
_DUE, _LOOK, _TAKE, _KEEP = (statement(f"batch_{verb}") for verb in ("due", "look", "take", "keep"))
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Batch).decode


class SqlBatches(BatchStore):
    """Keeps batches.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, batch: Batch) -> Batch:
        """Keep a new batch, which is due at once."""
        return await self._engine.write(_add, batch)

    async def get(self, id: str, *, tenant: str | None) -> Batch:
        """Look at a batch."""
        return await self._engine.read(_get, id, tenant)

    async def list(self, *, tenant: str | None, after: str | None = None, limit: int = 20) -> BatchPage:
        """List batches."""
        return await self._engine.read(_list, tenant, after, limit)

    async def cancel(self, id: str, *, tenant: str | None) -> Batch:
        """Say that a batch is not wanted any more."""
        return await self._engine.write(_cancel, id, tenant)

    async def take(self, *, lasts_s: float) -> Taken | None:
        """Take the batch that has been due longest."""
        due = await self._engine.read(_is_due, self._engine.clock.now())  # most of the time there is none, and nothing to write
        return await self._engine.write(_take, lasts_s) if due else None

    async def keep(self, taken: Taken, batch: Batch, *, due_s: float) -> Batch:
        """Write how far a batch came."""
        return await self._engine.write(_keep, taken, batch, due_s)

    async def finish(self, taken: Taken, batch: Batch) -> Batch:
        """End a batch, and let its files be seen, both or neither."""
        return await self._engine.write(_finish, taken, batch)


def _add(tx: Transaction, batch: Batch) -> Batch:
    tx.run(_ADD, (batch.id, batch.tenant, tx.now, tx.now, _encode(batch)))
    return msgspec.structs.replace(batch, created_at=tx.now)


@sees_latest
def _cancel(tx: Transaction, id: str, tenant: str | None) -> Batch:
    _get(tx.run, id, tenant)
    tx.run(_CANCEL, (id, tx.now))
    return _get(tx.run, id, tenant)


@sees_latest
def _take(tx: Transaction, lasts_s: float) -> Taken | None:
    due = tx.run(_DUE, (tx.now,)).fetchone()
    if due is None:
        return None
    *row, token = tx.run(_TAKE, (due[0], tx.now + lasts_s)).fetchone()
    return Taken(_batch(row), token)


@sees_latest
def _keep(tx: Transaction, taken: Taken, batch: Batch, due_s: float) -> Batch:
    row = tx.run(_KEEP, (batch.id, taken.token, _encode(batch), int(batch.state not in ENDED), tx.now + due_s)).fetchone()
    if row is None:
        raise batch_lost(batch.id)
    return _batch(row)


@sees_latest
def _finish(tx: Transaction, taken: Taken, batch: Batch) -> Batch:
    kept = _keep(tx, taken, batch, 0.0)
    for file in (batch.output_file, batch.error_file):
        if file is not None:
            finish_file(tx, file, None, batch.output_expires_s)
    return kept


def _get(run: Run, id: str, tenant: str | None) -> Batch:
    row = run(_GET, (id,)).fetchone()
    if row is None or tenant not in (None, row[3]):
        raise no_batch(id)
    return _batch(row)


def _list(run: Run, tenant: str | None, after: str | None, limit: int) -> BatchPage:
    at, behind = math.inf, ""
    if after is not None:
        last = _get(run, after, tenant)
        at, behind = last.created_at, last.id
    found = run(_LIST, (tenant, at, behind, limit + 1)).fetchall()
    return BatchPage([_batch(row) for row in found[:limit]], len(found) > limit)


def _is_due(run: Run, now: float) -> bool:
    return run(_LOOK, (now,)).fetchone() is not None


def _batch(row: Any) -> Batch:
    record, created_at, cancelling_at, _ = row
    return msgspec.structs.replace(_decode(bytes(record)), created_at=created_at, cancelling_at=cancelling_at)
