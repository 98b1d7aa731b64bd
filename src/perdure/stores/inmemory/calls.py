"""Calls with a key of the caller's own, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.errors.base import DedupConflict
from perdure.messages.calls import Begun, CallStore, Found, KeptAnswer, KeyedCall, UnderWay
from perdure.stores.inmemory.contents import CallRow, Contents

__all__ = ["InMemoryCalls"]


class InMemoryCalls(CallStore):
    """Keeps calls by their tenant and key.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def begin(self, call: KeyedCall, *, lasts_s: float) -> Found:
        """Begin a call, unless it is made or answered already."""
        with self._contents.open() as now:
            row = self._contents.calls.setdefault((call.tenant, call.key), CallRow(call.fingerprint))
            if row.fingerprint != call.fingerprint:
                what = f"the key {call.key[:60]!r} was used for another call"
                raise DedupConflict(what, hint="Use a new key for each call, and the same for its repeats alone.")
            if row.answer is not None:
                return row.answer
            if row.until > now:
                return UnderWay(row.until)
            begun = Begun(row.token + 1, again=row.unsure)
            row.token, row.until, row.unsure, row.at = begun.token, now + lasts_s, True, now
            return begun

    async def renew(self, calls: Sequence[tuple[KeyedCall, Begun]], *, lasts_s: float) -> int:
        """Say that calls are still being made."""
        with self._contents.open() as now:
            found = [(self._contents.calls.get((call.tenant, call.key)), begun) for call, begun in calls]
            made = [row for row, begun in found if row is not None and row.token == begun.token and row.answer is None and row.until > 0]
            for row in made:
                row.until = now + lasts_s
            return len(made)

    async def record(self, call: KeyedCall, begun: Begun, answer: KeptAnswer) -> KeptAnswer:
        """Keep an answer."""
        with self._contents.open() as now:
            row = self._contents.calls.get((call.tenant, call.key))
            if row is None or row.fingerprint != call.fingerprint or row.token < begun.token:
                return answer
            if row.answer is None:
                row.answer, row.at = answer, now
            return row.answer

    async def give_up(self, call: KeyedCall, begun: Begun, *, paid: bool) -> None:
        """Say that a call got no answer worth keeping."""
        with self._contents.open():
            row = self._contents.calls.get((call.tenant, call.key))
            if row is None or row.token != begun.token or row.answer is not None:
                return
            if paid or begun.again:
                row.until = 0.0
            else:
                del self._contents.calls[call.tenant, call.key]
