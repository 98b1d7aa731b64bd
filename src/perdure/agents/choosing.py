"""Which deployment of its model a call goes to next.

Theory of operation: a call knows the order of its model's deployments, and what it met at each. It goes to the first whose
lane is open and that stands against nothing: one that gave no answer is left out for the rest of this attempt, one that
asked to wait until its moment has come. If none is open the call waits for the one that opens first. When the model
itself cannot answer (too long, filtered, refused) another model takes its place, each once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import msgspec

from perdure.agents.parts import Lanes, ModelTable, Passage
from perdure.clock import Clock, Moment, awake, chance
from perdure.errors.base import Category, ErrorFacts
from perdure.errors.report import error_from
from perdure.events import tell
from perdure.messages.message import Wait
from perdure.providers.asks import Ask
from perdure.providers.deployments import Deployments
from perdure.providers.headroom import Headroom
from perdure.providers.target import Target
from perdure.resources.usage import Usage

__all__ = ["UNWATCHED", "Choosing", "Surroundings", "Way"]

_DECLINED = frozenset({Category.CONTENT_FILTER, Category.REFUSAL})


class Way(msgspec.Struct, frozen=True):
    """Where a try goes, and its way through that lane."""

    target: Target
    passage: Passage


class Surroundings(Protocol):
    """What a call meets on its way."""

    @property
    def models(self) -> ModelTable:
        """Who can answer for another model."""
        ...

    @property
    def lanes(self) -> Lanes | None:
        """Which lanes are closed; None lets every call through."""
        ...

    @property
    def clock(self) -> Clock:
        """The store's time."""
        ...


class Choosing:
    """The deployments of one call.

    Args:
        model (Deployments): Who can answer.
        parts (Surroundings): Lanes, models and the clock.
        wait_of (Callable[[ErrorFacts], Wait | None]): How long something has this run wait; None for what is a failure.
        ask_of (Callable[[Target], Ask]): What the call will use at a deployment.
    """

    def __init__(
        self, model: Deployments, parts: Surroundings, wait_of: Callable[[ErrorFacts], Wait | None], ask_of: Callable[[Target], Ask]
    ) -> None:
        self.model: Deployments = model
        self._parts = parts
        self._wait_of, self._ask_of = wait_of, ask_of
        self._order = model.in_order(chance)
        self._left_out: set[str] = set()
        self._barred: dict[str, Wait] = {}
        self._asked = {model.name}
        self._waits_since = awake()

    async def enter(self) -> Way | Wait | None:
        """Go to the first that is open.

        Returns:
            Way | Wait | None: The way there; where none is open, the wait for the one that opens first; None if all have failed.
            Where there are several, one that can be asked at once is better than one whose turn comes later.
        """
        waits: list[Wait] = []
        for patience_s in (0.0, None) if len(self._order) > 1 else (None,):
            waits.clear()
            for target in self._order:
                if target.lane in self._left_out:
                    continue
                found = self._bar(target.lane) or await self._through(target, patience_s)
                if isinstance(found, Way):
                    self._tell(found)
                    return found
                waits.append(found)
        return min(waits, key=_end_of, default=None)

    async def beside(self, lane: str) -> Way | None:
        """Go to another one than that which is being asked.

        Args:
            lane (str): Of that.

        Returns:
            Way | None: The way there; None if no other is open.
        """
        for target in self._order:
            if target.lane == lane or target.lane in self._left_out or self._bar(target.lane) is not None:
                continue
            found = await self._through(target, 0.0)
            if isinstance(found, Way):
                return found
        return None

    def leave_out(self, lane: str) -> None:
        """Ask a deployment no more: it gave no answer, or is being asked already.

        Args:
            lane (str): Its lane.
        """
        self._left_out.add(lane)
        self._waits_since = awake()

    def bar(self, lane: str, wait: Wait) -> None:
        """Ask a deployment no more before a moment.

        Args:
            lane (str): Its lane.
            wait (Wait): What it said.
        """
        self._barred[lane] = wait
        self._waits_since = awake()

    def fall_back(self, error: ErrorFacts) -> bool:
        """Ask another model, if this one cannot answer whoever carries it and one is named for that.

        Args:
            error (ErrorFacts): What a deployment said.

        Returns:
            bool: Whether another model has taken its place.
        """
        name = self.model.larger if error.category is Category.CONTEXT_LENGTH else None
        name = self.model.other if error.category in _DECLINED else name
        if name is None:
            return False
        model = self._parts.models.deployments(name)
        if model.name in self._asked:
            return False
        self._asked.add(model.name)
        self.model, self._order = model, model.in_order(chance)
        self._waits_since = awake()
        return True

    def named(self, provider: str) -> Target | None:
        """Find the deployment at a provider.

        Args:
            provider (str): Its name.

        Returns:
            Target | None: None if this model has none there (any more).
        """
        return next((one for one in self._order if one.provider.name == provider), None)

    def _bar(self, lane: str) -> Wait | None:
        wait = self._barred.get(lane)
        return wait if wait is not None and _end_of(wait) > self._parts.clock.now() else None

    async def _through(self, target: Target, patience_s: float | None) -> Way | Wait:
        lanes = self._parts.lanes
        if lanes is None:
            return Way(target, UNWATCHED)
        ask = self._ask_of(target)
        ask.patience_s = patience_s
        entered = await lanes.enter(target.lane, ask)
        if not isinstance(entered, ErrorFacts):
            return Way(target, entered)
        wait = self._wait_of(entered)
        if wait is None:
            raise error_from(entered)
        return wait

    def _tell(self, way: Way) -> None:
        target, starts_at = way.target, way.passage.starts_at
        ahead_s = 0.0 if starts_at is None else max(0.0, starts_at - self._parts.clock.now())
        tell("lane.entered", provider=target.provider.name, model=target.model, seconds=awake() - self._waits_since + ahead_s)


def _end_of(wait: Wait) -> Moment:
    return math.inf if wait.until is None else wait.until


class _Unwatched:
    """The way of a call whose lane nobody watches."""

    starts_at: Moment | None = None
    overtaken: bool = False

    def sent(self) -> None:
        """Nobody is told."""

    def answered(self, usage: Usage | None = None, usd: float | None = None, headroom: Headroom | None = None) -> None:
        """Nobody is told."""

    async def met(self, error: ErrorFacts) -> None:
        """Nobody is told."""

    def left(self) -> None:
        """Nobody is told."""


UNWATCHED = _Unwatched()
"""For a call that nobody lets in: its lane is not watched, or it goes on already."""
