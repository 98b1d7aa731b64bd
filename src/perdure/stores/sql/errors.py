"""Lines of errors and their counts, in the store."""

from __future__ import annotations

import builtins
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from perdure.errors.patterns import FORGOTTEN_S, HOUR_S, KEPT_HOURS, MOST_LINES, MOST_LISTED, ErrorBook, KeptLine, Line, Noted
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqlErrors"]

_KNOWN, _FAMILY, _ADD, _ADD_HOUR = (statement(name) for name in ("error_known", "error_family", "error_line_add", "error_hour_add"))
_FORGET_HOURS, _FORGET_LINES = statement("error_hours_forget"), statement("error_lines_forget")
_LINES, _HOURS = statement("error_lines"), statement("error_hours")
_decode = msgspec.json.Decoder(Line).decode


class SqlErrors(ErrorBook):
    """Keeps what went wrong.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def note(self, noted: Sequence[Noted]) -> None:
        """Add what came; it is one transaction."""
        await self._engine.write(_note, builtins.list(noted))

    async def lines(self) -> Sequence[KeptLine]:
        """List what came, last first."""
        return await self._engine.read(_lines)


def _note(tx: Transaction, noted: list[Noted]) -> None:
    for one in sorted(noted, key=lambda one: one.line.id):  # the same order everywhere: nobody waits for one who waits for him
        line = _room_for(tx.run, one.line)
        card = msgspec.json.encode(line)
        tx.run(_ADD, (line.id, line.family, card, one.count, one.first_at, one.last_at, one.sample, one.hint))
        tx.run(_ADD_HOUR, (int(one.last_at // HOUR_S), line.id, one.count))
    tx.run(_FORGET_HOURS, (int(tx.now // HOUR_S) - KEPT_HOURS,))
    tx.run(_FORGET_LINES, (tx.now - FORGOTTEN_S,))


def _room_for(run: Run, line: Line) -> Line:
    if run(_KNOWN, (line.id,)).fetchone() is not None or run(_FAMILY, (line.family,)).get < MOST_LINES:
        return line
    return line.overflow


def _lines(run: Run) -> list[KeptLine]:
    hours: dict[int, dict[int, int]] = defaultdict(dict)
    for line, hour, n in run(_HOURS).fetchall():
        hours[line][hour] = n
    return [
        KeptLine(id=key, line=_decode(card), count=n, first_at=first, last_at=last, sample=sample, hint=hint, hours=hours.get(key, {}))
        for key, card, n, first, last, sample, hint in run(_LINES, (MOST_LISTED,)).fetchall()
    ]
