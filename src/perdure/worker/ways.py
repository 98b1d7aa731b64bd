"""The way of one call through its lane, from being let in to its end; keeps the contract in `agents/parts.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from perdure.clock import Moment
from perdure.errors.base import Billed, ErrorFacts
from perdure.providers.headroom import Headroom
from perdure.resources.usage import Usage
from perdure.worker.permits import Permit
from perdure.worker.throttle import Sent, Throttle

__all__ = ["Way"]


class _Lanes(Protocol):
    def refused(self, lane: str) -> bool: ...

    def answered(self, lane: str, *, probe: bool = False) -> None: ...

    async def met(self, lane: str, error: ErrorFacts, *, probe: bool = False, call: Sent | None = None) -> None: ...

    def gave_up(self, lane: str, *, probe: bool = False) -> None: ...


class Way:
    """One call's.

    Args:
        lanes (_Lanes): Who is told what becomes of it.
        lane (str): `provider/model`.
        permit (Permit | None): What was lent for it; None in a lane without limits.
        throttle (Throttle): Of the lane; is told how the provider took the call.
        call (Sent): The call, as the throttle knows it.
        starts_at (Moment | None): Not before this moment.
        probe (bool): Whether it goes through to see.
        learn (Callable[[int], None] | None): Is told of how many tokens its prompt was.
        believe (Callable[[Headroom], None] | None): Is told what the provider said is left.
    """

    __slots__ = ("_believe", "_call", "_lane", "_lanes", "_learn", "_permit", "_probe", "_throttle", "_told", "starts_at")

    def __init__(
        self,
        lanes: _Lanes,
        lane: str,
        permit: Permit | None = None,
        *,
        throttle: Throttle,
        call: Sent,
        starts_at: Moment | None,
        probe: bool,
        learn: Callable[[int], None] | None = None,
        believe: Callable[[Headroom], None] | None = None,
    ) -> None:
        self._lanes, self._lane, self._permit, self._probe = lanes, lane, permit, probe
        self._learn, self._believe = learn, believe
        self._told = False
        self._throttle, self._call = throttle, call
        self.starts_at: Moment | None = starts_at
        """Not before this moment."""

    @property
    def overtaken(self) -> bool:
        """Whether the provider has refused others while this call waited for its start."""
        return self.starts_at is not None and not self._probe and self._lanes.refused(self._lane)

    def sent(self) -> None:
        """Tell that the call is on its way to the provider."""
        self._throttle.sent(self._call)
        if self._permit is not None:
            self._permit.sent()

    def answered(self, usage: Usage | None = None, usd: float | None = None, headroom: Headroom | None = None) -> None:
        """Tell that the provider answered."""
        self._told = True
        self._throttle.let_in(self._call)
        self._lanes.answered(self._lane, probe=self._probe)
        if self._permit is not None:
            self._permit.ended(tokens=_all_tokens(usage), usd=usd)
        if self._believe is not None and headroom is not None:
            self._believe(headroom)
        if self._learn is not None and usage is not None and usage.input_tokens is not None:
            self._learn(usage.input_tokens)

    async def met(self, error: ErrorFacts) -> None:
        """Tell what the call met instead. What is not billed has used no tokens, but was a request all the same."""
        self._told = True
        if self._permit is not None:
            free = error.billed is Billed.NO
            self._permit.ended(tokens=0 if free else None, usd=0.0 if free else None)
        await self._lanes.met(self._lane, error, probe=self._probe, call=self._call)

    def left(self) -> None:
        """Tell that the call is over."""
        self._throttle.over(self._call)
        if self._permit is not None:
            self._permit.left()
        if not self._told:
            self._told = True
            self._lanes.gave_up(self._lane, probe=self._probe)


def _all_tokens(usage: Usage | None) -> int | None:
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return usage.input_tokens + usage.output_tokens
