"""How often each kind of error came, since when, and how fast."""

from __future__ import annotations

import threading
from collections import OrderedDict

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Category, ErrorFacts

__all__ = ["WINDOWS_MIN", "Tracked", "Tracking"]

WINDOWS_MIN = (1, 5, 60)
"""Rates are told over so many minutes."""


class Tracked(msgspec.Struct, kw_only=True):
    """How often one kind of error came."""

    code: str
    category: Category
    where: str
    count: int = 0
    first_seen: Moment
    last_seen: Moment
    last_message: str
    per_minute: dict[str, float] = {}
    """Minutes looked back on to errors in a minute, such as `{"5": 0.4}`."""


class _Kind(msgspec.Struct, kw_only=True):
    told: Tracked
    minutes: dict[int, int] = {}


class Tracking:
    """Counts kinds of errors. Safe to share between threads.

    Args:
        most_kinds (int): Of so many kinds counts are kept; the one not seen for longest gives way.
    """

    def __init__(self, most_kinds: int) -> None:
        self._most_kinds = most_kinds
        self._kinds: OrderedDict[tuple[str, str], _Kind] = OrderedDict()
        self._counting = threading.Lock()

    def note(self, facts: ErrorFacts, where: str, now: Moment) -> Tracked:
        """Count one.

        Args:
            facts (ErrorFacts): What it is.
            where (str): In which part it arose.
            now (Moment): When.

        Returns:
            Tracked: Its kind as counted now; a copy.
        """
        with self._counting:
            kind = self._kinds.get((facts.code, where))
            if kind is None:
                told = Tracked(
                    code=facts.code, category=facts.category, where=where, first_seen=now, last_seen=now, last_message=facts.message
                )
                kind = self._kinds[facts.code, where] = _Kind(told=told)
            kind.told.count += 1
            kind.told.last_seen, kind.told.last_message = now, facts.message
            _count(kind.minutes, int(now // 60))
            self._kinds.move_to_end((facts.code, where))
            while len(self._kinds) > self._most_kinds:
                self._kinds.popitem(last=False)
            return msgspec.structs.replace(kind.told)

    def all(self, now: Moment) -> list[Tracked]:
        """List what came.

        Args:
            now (Moment): Until when rates are told.

        Returns:
            list[Tracked]: Most frequent first; copies, which do not count on.
        """
        with self._counting:
            told = [msgspec.structs.replace(kind.told, per_minute=_rates(kind.minutes, int(now // 60))) for kind in self._kinds.values()]
        return sorted(told, key=lambda one: (-one.count, one.code))


def _count(minutes: dict[int, int], minute: int) -> None:
    minutes[minute] = minutes.get(minute, 0) + 1
    for old in [one for one in minutes if one <= minute - WINDOWS_MIN[-1]]:
        del minutes[old]


def _rates(minutes: dict[int, int], now: int) -> dict[str, float]:
    return {str(window): sum(n for minute, n in minutes.items() if minute > now - window) / window for window in WINDOWS_MIN}
