"""The contract of calls with a key of the caller's own, each of which is made once and answered as often as it is asked.

Theory of operation: whoever is about to make a call first *begins* it, in one transaction that only one can win; everybody
else is told that it is under way, or gets the answer. Who makes it says from time to time that it is still there; who does
not is taken for dead, and the next to ask makes the call anew, knowing that the first may have been paid for. An answer,
once recorded, never changes: who comes too late with another one is given the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from perdure.clock import Moment

__all__ = ["Begun", "CallStore", "Found", "KeptAnswer", "KeyedCall", "UnderWay"]


class KeyedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that its caller has named."""

    tenant: str
    key: str
    fingerprint: bytes
    """Of all that was asked: the same key with another one is a mistake."""


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered."""

    status: int
    media_type: str
    headers: list[tuple[str, str]] = []
    body: bytes = b""


class Begun(msgspec.Struct, frozen=True):
    """The call is yours to make."""

    token: int
    """Which beginning it is; greater than all before."""
    again: bool = False
    """It was begun before, and nobody knows whether it was paid for."""


class UnderWay(msgspec.Struct, frozen=True):
    """Somebody else makes it."""

    until: Moment
    """Unless heard of again, they are taken for dead then."""


Found: TypeAlias = Begun | UnderWay | KeptAnswer


class CallStore(Protocol):
    """Keeps calls by their tenant and key. Proved by `perdure.testing.CallKit`."""

    async def begin(self, call: KeyedCall, *, lasts_s: float) -> Found:
        """Begin a call, unless it is made or answered already.

        Args:
            call (KeyedCall): Which.
            lasts_s (float): How long whoever begins it counts as alive from now on.

        Returns:
            Found: `Begun` for exactly one of all who ask at once.

        Raises:
            DedupConflict: The key was used for another call.
        """
        ...

    async def renew(self, calls: Sequence[tuple[KeyedCall, Begun]], *, lasts_s: float) -> int:
        """Say that calls are still being made.

        Args:
            calls (Sequence[tuple[KeyedCall, Begun]]): Which, as they were begun; others may have begun them anew since.
            lasts_s (float): How long their maker counts as alive from now on.

        Returns:
            int: How many of them are still its own, and not answered.
        """
        ...

    async def record(self, call: KeyedCall, begun: Begun, answer: KeptAnswer) -> KeptAnswer:
        """Keep an answer.

        Args:
            call (KeyedCall): Which.
            begun (Begun): As it was begun.
            answer (KeptAnswer): What came.

        Returns:
            KeptAnswer: The same; or the one that was recorded before, by whoever had begun the call meanwhile.
        """
        ...

    async def give_up(self, call: KeyedCall, begun: Begun, *, paid: bool) -> None:
        """Say that a call got no answer worth keeping; the next to ask makes it. One that was begun anew meanwhile is left alone.

        Args:
            call (KeyedCall): Which.
            begun (Begun): As it was begun.
            paid (bool): Whether it may have been paid for.
        """
        ...
