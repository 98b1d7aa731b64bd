"""The tries of one call on `/v1`: each deployment of its model once, in the order that runs use, until one answers.

A door keeps no caller waiting for a lane to open, but for its turn in one that goes slower: where all deployments stand
against the call, the caller is told which of them can be asked first, and when. What a try met is told to its lane, so that
neither this server nor a worker collects the same refusal again. A stream counts as answered with its first piece: what
breaks after that is the caller's to see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from perdure.agents.choosing import Choosing, Way
from perdure.clock import awake
from perdure.errors.base import Billed, ErrorFacts, PerdureError, ProviderError
from perdure.errors.recovery import ACCOUNT, DOWN, LIMITED
from perdure.errors.report import error_from, facts_of
from perdure.messages.message import Wait
from perdure.providers.asks import Ask
from perdure.providers.deployments import Deployments
from perdure.providers.headroom import Headroom
from perdure.providers.target import Target
from perdure.resources.usage import Usage
from perdure.server.door import Call
from perdure.server.openai.booking import Booking
from perdure.wire.usage import usage_of

T = TypeVar("T")

__all__ = ["Made", "Tries"]


class Made(Generic[T]):
    """A try that was answered; whoever reads the answer ends it.

    Args:
        way (Way): Where it went.
        booking (Booking): What it costs.
        answer (T): What came.
        began (float): When it was sent.
    """

    def __init__(self, way: Way, booking: Booking, answer: T, began: float) -> None:
        self.way, self.answer = way, answer
        self._booking, self._began = booking, began

    async def end(self, usage: Usage, headroom: Headroom | None = None) -> Usage:
        """Book what it used, and tell its lane.

        Args:
            usage (Usage): As the provider counted it.
            headroom (Headroom | None): What the provider says is left.

        Returns:
            Usage: With what it cost.
        """
        priced = self._booking.priced(usage)
        self.way.passage.answered(priced, priced.cost_usd, headroom)
        self.way.passage.left()
        await self._booking.settle(priced)
        return priced

    async def broke(self, error: BaseException, usage: Usage) -> Usage:
        """Book what a stream used that broke in the middle, or that nobody listens to any more.

        Args:
            error (BaseException): Why.
            usage (Usage): What is known of it.

        Returns:
            Usage: With what it cost, if that is known.
        """
        if isinstance(error, ProviderError):
            await self.way.passage.met(facts_of(error))
        self.way.passage.left()
        priced = self._booking.priced(usage)
        await self._booking.settle(priced)
        return priced

    @property
    def seconds(self) -> float:
        """How long ago it was sent."""
        return awake() - self._began


class Tries:
    """The tries of one call.

    Args:
        call (Call): Whose.
        body (Mapping[str, Any]): What is asked, with the name of a model or none.
        model (Deployments): Who can answer.
        falls_back (bool): Whether another model may take its place where this one declines, or has too little room.
    """

    def __init__(self, call: Call, body: Mapping[str, Any], model: Deployments, *, falls_back: bool = True) -> None:
        self._call, self._body, self._falls_back = call, body, falls_back
        self._choosing = Choosing(model, call.core, _wait, self._ask)
        self._errors: list[PerdureError] = []
        self._began = awake()
        self._count = 0

    async def made(self, ask: Callable[[Target], Awaitable[T]]) -> Made[T]:
        """Ask one after the other until one answers.

        Args:
            ask (Callable[[Target], Awaitable[T]]): Makes one try.

        Returns:
            Made[T]: To be ended.

        Raises:
            PerdureError: None answered; of all that stands in the way, what passes first.
        """
        while True:
            way = await self._way()
            booking = await self._booked(way)
            began = awake()
            try:
                way.passage.sent()
                answer = await ask(way.target)
            except BaseException as error:
                await self._missed(way, booking, error)
                if not isinstance(error, ProviderError) or not self._goes_on(way, error):
                    raise
            else:
                self._choosing.model.pace.note(way.target.lane, awake() - began)
                return Made(way, booking, answer, began)

    async def _way(self) -> Way:
        while True:
            found = await self._choosing.enter()
            if not isinstance(found, Way):
                raise self._verdict(found)
            await self._until_its_start(found)
            if not found.passage.overtaken:
                break
            found.passage.left()
        self._count += 1
        waited = f"{(awake() - self._began) * 1000:.1f}"
        self._call.says[:] = [
            ("perdure-attempts", str(self._count)),
            ("perdure-lane", found.target.lane),
            ("perdure-queue-ms", waited),
        ]
        return found

    async def _until_its_start(self, way: Way) -> None:
        """A lane that goes slower, or has limits, lets calls start one after the other: a few seconds apart at most."""
        if way.passage.starts_at is None:
            return
        try:
            await asyncio.sleep(max(0.0, way.passage.starts_at - self._call.core.clock.now()))
        except BaseException:
            way.passage.left()
            raise

    async def _booked(self, way: Way) -> Booking:
        try:
            return await Booking.begin(self._call, way.target, self._body)
        except BaseException:
            way.passage.left()
            raise

    async def _missed(self, way: Way, booking: Booking, error: BaseException) -> None:
        try:
            if isinstance(error, ProviderError):
                await way.passage.met(facts_of(error))
        finally:
            way.passage.left()
        self._call.paid = self._call.paid or not isinstance(error, PerdureError) or error.billed is not Billed.NO
        if isinstance(error, ProviderError) and error.answer is not None:
            await booking.settle(booking.priced(usage_of(error.answer.get("usage"))))
        else:
            await booking.failed(error)

    def _goes_on(self, way: Way, error: ProviderError) -> bool:
        facts = facts_of(error)
        self._errors.append(error)
        if self._falls_back and self._choosing.fall_back(facts):
            return True
        self._choosing.leave_out(way.target.lane)
        return facts.category in LIMITED or facts.category in ACCOUNT or facts.category in DOWN

    def _verdict(self, wait: Wait | None) -> Exception:
        """What the caller is told: a moment, if there is one, is worth more to it than the last of several reasons."""
        errors: list[Exception] = list(self._errors)
        if wait is not None and wait.error is not None:
            errors.append(error_from(wait.error))
        timed = [error for error in errors if isinstance(error, PerdureError) and error.category in LIMITED and error.retry_at is not None]
        return min(timed, key=lambda error: error.retry_at or 0.0) if timed else errors[-1]

    def _ask(self, target: Target) -> Ask:
        return Ask(self._body, usd=self._call.core.parts.prices.at_most(self._body, target.provider.name, target.model) or 0.0)


def _wait(error: ErrorFacts) -> Wait:
    return Wait(why=error.category.value, until=error.retry_at, error=error)
