"""The right of one call to go through a limited lane, and what is said of it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from perdure.clock import Moment
from perdure.providers.book import SLOT_S
from perdure.providers.lanes import Correction, Need

__all__ = ["Permit", "Taker"]


class Taker(Protocol):
    """Takes corrections to the store, some time soon."""

    def note(self, correction: Correction, *, over: int = 0) -> None:
        """Take one.

        Args:
            correction (Correction): What a permit's use differs from it.
            over (int): So many calls are under way no longer.
        """
        ...


class Permit:
    """One call's.

    Args:
        taker (Taker): Who takes what is said of it.
        slot (int): Where it is written in the book.
        need (Need): What it is for.
        starts_at (Moment): When the call may start.
        now (Callable[[], Moment]): The clock of that moment.
    """

    __slots__ = ("_ended", "_need", "_now", "_sent", "_slot", "_taker", "starts_at")

    def __init__(self, taker: Taker, slot: int, need: Need, starts_at: Moment, now: Callable[[], Moment]) -> None:
        self._taker, self._slot, self._need, self._now = taker, slot, need, now
        self.starts_at: Moment = starts_at
        self._sent = self._ended = False

    def sent(self) -> None:
        """Tell that the call is on its way. One that starts late counts from then on, and not from when it might have."""
        self._sent = True
        late = int((self._now() - self.starts_at) / SLOT_S)
        if late > 0:
            requests, tokens = self._need.requests, self._need.tokens
            self._taker.note(Correction(slot=self._slot, requests=-requests, tokens=-tokens))
            self._slot += late
            self._taker.note(Correction(slot=self._slot, requests=requests, tokens=tokens))

    def ended(self, *, tokens: int | None = None, usd: float | None = None) -> None:
        """Tell what the call has used. What is not known stays reserved.

        Args:
            tokens (int | None): All of its tokens; None if nobody knows.
            usd (float | None): What it has cost; None if nobody knows.
        """
        if self._ended:
            return
        self._ended = True
        need = self._need
        self._taker.note(
            Correction(
                slot=self._slot,
                tokens=-need.tokens if tokens == 0 else 0,  # a call that came to nothing says nothing of what calls use
                reserved=need.tokens if tokens else 0,
                used=tokens or 0,
                usd=0.0 if usd is None else usd - need.usd,
            ),
            over=1,
        )

    def left(self) -> None:
        """Tell that the call is over, or was never made: then nothing of it is used."""
        if self._ended or self._sent:
            self.ended()
            return
        self._ended = True
        need = self._need
        self._taker.note(Correction(slot=self._slot, requests=-need.requests, tokens=-need.tokens, usd=-need.usd), over=1)
