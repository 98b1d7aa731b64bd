"""How long calls of models take, in the store."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

import msgspec

from perdure.monitor.measures import MOST_SERIES, Counted, MeasureBook, Series
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqlMeasures"]

_KNOWN, _SERIES, _ADD, _LIST = (statement(f"measure_{verb}") for verb in ("known", "series", "add", "list"))
_decode = msgspec.json.Decoder(Series).decode


class SqlMeasures(MeasureBook):
    """Keeps counts by bucket.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, counted: Sequence[Counted]) -> None:
        """Add what was counted; it is one transaction."""
        await self._engine.write(_add, builtins.list(counted))

    async def all(self) -> builtins.list[Counted]:
        """List what was counted since the store began."""
        return await self._engine.read(_all)


def _add(tx: Transaction, counted: list[Counted]) -> None:
    names = {series: _room_for(tx.run, series) for series in sorted({one.series for one in counted}, key=_written)}
    for one in sorted(counted, key=lambda one: (names[one.series], one.bucket)):  # the same order everywhere: nobody waits in a circle
        tx.run(_ADD, (names[one.series], one.bucket, one.count, one.total))


def _room_for(run: Run, series: Series) -> str:
    known = run(_KNOWN, (_written(series),)).get or run(_SERIES).get < MOST_SERIES
    return _written(series if known else series.overflow)


def _all(run: Run) -> list[Counted]:
    return [Counted(_decode(series), bucket, n, total) for series, bucket, n, total in run(_LIST).fetchall()]


def _written(series: Series) -> str:
    return msgspec.json.encode(series).decode()
