"""Lines of errors and their counts, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from perdure.clock import Moment
from perdure.errors.patterns import FORGOTTEN_S, HOUR_S, KEPT_HOURS, MOST_LINES, MOST_LISTED, ErrorBook, KeptLine, Line, Noted
from perdure.stores.inmemory.contents import Contents

__all__ = ["InMemoryErrors"]


class InMemoryErrors(ErrorBook):
    """Keeps what went wrong.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def note(self, noted: Sequence[Noted]) -> None:
        """Add what came; it is one transaction."""
        with self._contents.open() as now:
            for one in sorted(noted, key=lambda one: one.line.id):
                self._add(one)
            self._forget(now)

    async def lines(self) -> Sequence[KeptLine]:
        """List what came, last first."""
        with self._contents.open():
            kept = sorted(self._contents.errors.values(), key=lambda line: (-line.last_at, line.id))[:MOST_LISTED]
            return [msgspec.structs.replace(line, hours=dict(line.hours)) for line in kept]

    def _add(self, one: Noted) -> None:
        line = self._room_for(one.line)
        kept = self._contents.errors.get(line.id)
        hour, hours = int(one.last_at // HOUR_S), {} if kept is None else dict(kept.hours)
        hours[hour] = hours.get(hour, 0) + one.count
        said: dict[str, Any] = {"last_at": one.last_at, "sample": one.sample, "hint": one.hint, "hours": hours}
        if kept is None:
            self._contents.errors[line.id] = KeptLine(id=line.id, line=line, count=one.count, first_at=one.first_at, **said)
        else:
            self._contents.errors[line.id] = msgspec.structs.replace(kept, count=kept.count + one.count, **said)

    def _room_for(self, line: Line) -> Line:
        known = self._contents.errors
        if line.id in known or sum(one.line.family == line.family for one in known.values()) < MOST_LINES:
            return line
        return line.overflow

    def _forget(self, now: Moment) -> None:
        oldest = int(now // HOUR_S) - KEPT_HOURS
        for number, line in list(self._contents.errors.items()):
            if line.last_at < now - FORGOTTEN_S:
                del self._contents.errors[number]
            else:
                hours = {hour: n for hour, n in line.hours.items() if hour >= oldest}
                self._contents.errors[number] = msgspec.structs.replace(line, hours=hours)
