"""LLM calls as steps.

One try is made; whether there will be another one is decided for the whole message. A limit is no
failure: the call is put off, and made again when its moment has come, here or after the run was parked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from perdure.agents.call import Call
from perdure.agents.journal import StepKind, StepState
from perdure.agents.parts import Passage, Target
from perdure.agents.steps import Steps
from perdure.agents.waits import OpenCall
from perdure.clock import Moment, chance
from perdure.errors.base import Billed, BudgetReached, ErrorFacts, InvalidOutput, PriceUnknown, ProviderError, ServerFailed
from perdure.errors.report import facts_of
from perdure.messages.message import Wait
from perdure.messages.retry import wait_of
from perdure.messages.spending import Bill, account_of, day_of, to_nano
from perdure.providers.protocol import ChatAnswer, ResumableProvider
from perdure.resources.usage import Usage
from perdure.tools.plain import dump, load

__all__ = ["Asking", "take"]

_TRANSPORT = frozenset(
    {
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "metadata",
        "headers",
        "extra_headers",
        "timeout",
        "timeout_s",
    }
)
_NOT_SENT = frozenset({"stream", "stream_options", "headers", "extra_headers", "timeout", "timeout_s"})


def take(steps: Steps, name: str, body: Mapping[str, Any]) -> Call:
    """Name an LLM call. How its answer travels is no part of what it is.

    Args:
        steps (Steps): The run's.
        name (str): The agent's name for it.
        body (Mapping[str, Any]): An OpenAI chat request.

    Returns:
        Call: Ready to be made.
    """
    content = {key: value for key, value in body.items() if key not in _TRANSPORT and value is not None}
    return steps.take(StepKind.LLM, name, content, show=body)


class Asking:
    """One LLM call on its way.

    Args:
        steps (Steps): The run's.
        call (Call): The call.
        body (Mapping[str, Any]): An OpenAI chat request.
        target (Callable[[], Target]): Finds out where it goes; asked only if it goes anywhere.
        timeout_s (float | None): For the whole answer; None for the provider's own.
        check (Callable[[ChatAnswer], None] | None): Raises `InvalidOutput` for an answer that is to be
            recorded as a failure.
    """

    def __init__(
        self,
        steps: Steps,
        call: Call,
        body: Mapping[str, Any],
        target: Callable[[], Target],
        *,
        timeout_s: float | None = None,
        check: Callable[[ChatAnswer], None] | None = None,
    ) -> None:
        self._steps = steps
        self._call = call
        self._body = body
        self._target = target
        self._timeout_s = timeout_s
        self._check = check
        self._reckoned_usd: float | None = None

    async def answer(self) -> ChatAnswer:
        """Have the answer, from the journal or from the provider.

        Returns:
            ChatAnswer: Recorded.

        Raises:
            ProviderError: There was none, and waiting does not help.
            UnknownModel: Nothing has that model.
        """
        async with self._steps.opened(self._call) as here:
            recorded = await self._steps.recorded(self._call, here)
            if recorded is not None:
                usage = self._call.found.usage if self._call.found else None
                return ChatAnswer(body=load(recorded), usage=usage or Usage())
            target = self._target()
            self._reckon(target)
            answer = await self._asked_before(target, here)
            if answer is not None:
                return answer
            diverged = await self._steps.diverged(self._call)
            self._refuse_without_price(target)
            while True:
                passage = await self._let_in(target, here)
                try:
                    if await self._intended(target, here, diverged=diverged):
                        diverged = False  # said once, however often it is put off
                        answer = await self._one_try(target, here, passage)
                finally:
                    passage.left()
                if answer is not None:
                    return answer

    async def _intended(self, target: Target, here: OpenCall, *, diverged: bool) -> bool:
        """Commit the intent, with what the call may cost; without money for it, wait until there is."""
        self._call.bill = self._bill(target, self._steps.parts.clock.now())
        try:
            await self._steps.intend(self._call, diverged=diverged)
        except BudgetReached as error:
            self._steps.tell("deferred", self._call, code=error.code, lane=target.lane)
            wait = self._wait(facts_of(error))
            if wait is None:
                raise
            await here.wait(msgspec.structs.replace(wait, step=None))  # nothing has been written of it
            return False
        return True

    async def _asked_before(self, target: Target, here: OpenCall) -> ChatAnswer | None:
        """Ask the provider for the answer of a call that was under way when the run was cut off, if it had a handle."""
        found = self._call.found
        if found is None or found.state is not StepState.INTENT or not isinstance(target.provider, ResumableProvider):
            return None
        provider, _, handle = (found.handle or "").partition(":")
        if not handle or provider != target.provider.name:
            return None
        self._steps.tell("resumed", self._call, lane=target.lane)
        self._call.bill = self._bill(target, found.began_at)  # as it was when it was intended
        return await self._resumed(target.provider, handle, target, here, _UNWATCHED)

    async def _one_try(self, target: Target, here: OpenCall, passage: Passage) -> ChatAnswer | None:
        body = {key: value for key, value in self._body.items() if key not in _NOT_SENT and value is not None} | {"model": target.model}
        provider = target.provider
        resumable = provider if isinstance(provider, ResumableProvider) and provider.resumes(body) else None
        begun: str | ChatAnswer
        try:
            if resumable is None:
                begun = await provider.chat(body, timeout_s=self._timeout_s)
            else:
                begun = await resumable.begin(body, timeout_s=self._timeout_s)
        except Exception as error:
            mapped = error if isinstance(error, ProviderError) else _unmapped(error)
            wait = self._wait(facts_of(mapped))
            if wait is None:
                failure = await self._failed(mapped, target, passage)
                raise failure from failure.__cause__
            await self._put_off(wait, target, here, passage)
            return None
        if resumable is None or isinstance(begun, ChatAnswer):
            assert isinstance(begun, ChatAnswer)
            return await self._accepted(begun, target, passage)
        await self._steps.noted(self._call, f"{provider.name}:{begun}")
        return await self._resumed(resumable, begun, target, here, passage)

    async def _resumed(
        self, provider: ResumableProvider, handle: str, target: Target, here: OpenCall, passage: Passage
    ) -> ChatAnswer | None:
        """Wait for the answer of a call that has been begun. That it cannot be asked for now is not recorded: it stays under way."""
        while True:
            try:
                found = await provider.resume(handle, timeout_s=self._timeout_s)
            except ProviderError as error:
                wait = self._wait(facts_of(error))
                if wait is None:
                    raise
                await here.wait(wait)
                continue
            if isinstance(found, ChatAnswer):
                return await self._accepted(found, target, passage)
            if found is not None:
                failure = await self._failed(found, target, passage)
                raise failure from failure.__cause__
            self._steps.tell("handle-gone", self._call, lane=target.lane)
            self._call.again = True
            return None

    async def _failed(self, error: ProviderError, target: Target, passage: Passage) -> Exception:
        facts = facts_of(error)
        usage = self._priced(Usage(calls=1), target, billed=facts.billed)
        failure = await self._steps.fail(self._call, error, kind=ProviderError, usage=usage)
        await passage.met(facts)
        return failure

    async def _accepted(self, answer: ChatAnswer, target: Target, passage: Passage) -> ChatAnswer:
        passage.answered()
        usage = self._priced(answer.usage if answer.usage.calls else answer.usage + Usage(calls=1), target)
        try:
            if self._check is not None:
                self._check(answer)
        except InvalidOutput as error:
            failure = await self._steps.fail(self._call, error, kind=ProviderError, usage=usage)
            raise failure from failure.__cause__
        facts = {"lane": target.lane} | msgspec.structs.asdict(usage)
        await self._steps.record(self._call, dump(answer.body, what="the answer"), usage, **facts)
        return answer

    async def _put_off(self, wait: Wait, target: Target, here: OpenCall, passage: Passage) -> None:
        error = wait.error or facts_of(ProviderError("limited"))
        await self._steps.defer(self._call.number, error, self._call.bill)
        self._steps.tell("deferred", self._call, code=error.code, lane=target.lane)
        await passage.met(msgspec.structs.replace(error, retry_at=wait.until))
        await here.wait(wait)

    def _reckon(self, target: Target) -> None:
        """Say before the call what it may cost."""
        prices = self._steps.parts.prices
        self._reckoned_usd = None if prices is None else prices.at_most(self._body, target.provider.name, target.model)

    def _refuse_without_price(self, target: Target) -> None:
        """Where the run may cost so much only, a call whose price nobody knows is not made."""
        most = self._steps.spending.max_cost_usd
        if most is not None and self._reckoned_usd is None:
            raise PriceUnknown(
                f"the run may cost {most} US dollars, and what {target.lane!r} costs is not known",
                hint=f'Say it in the settings: `[prices."{target.lane}"]` with `input_usd` and `output_usd` for a million tokens.',
            )

    def _bill(self, target: Target, now: Moment) -> Bill | None:
        if self._steps.parts.prices is None:
            return None
        account = account_of(self._steps.lease.message, target.lane)
        return Bill(day=day_of(now), account=account, held_nanousd=to_nano(self._reckoned_usd))

    def _priced(self, usage: Usage, target: Target, *, billed: Billed | None = None) -> Usage:
        prices = self._steps.parts.prices
        if prices is None:
            return usage
        cost_usd = 0.0 if billed is Billed.NO else prices.cost_of(usage, target.provider.name, target.model)
        return usage.priced(cost_usd, reckoned_usd=self._reckoned_usd)

    async def _let_in(self, target: Target, here: OpenCall) -> Passage:
        lanes = self._steps.parts.lanes
        while lanes is not None:
            passage = await lanes.enter(target.lane)
            if not isinstance(passage, ErrorFacts):
                return passage
            wait = self._wait(passage)
            if wait is None:
                break
            await here.wait(wait)
        return _UNWATCHED

    def _wait(self, error: ErrorFacts) -> Wait | None:
        return wait_of(error, lease=self._steps.lease, step=self._call.number or None, now=self._steps.parts.clock.now(), dice=chance())


class _Unwatched:
    """The way of a call whose lane nobody watches."""

    def answered(self) -> None:
        """Nobody is told."""

    async def met(self, error: ErrorFacts) -> None:
        """Nobody is told."""

    def left(self) -> None:
        """Nobody is told."""


_UNWATCHED = _Unwatched()


def _unmapped(error: Exception) -> ServerFailed:
    mapped = ServerFailed(
        f"the provider raised {type(error).__name__}, which it should have mapped: {error}",
        hint="This is a fault of the provider's code; report it.",
        billed=Billed.MAYBE,
    )
    mapped.__cause__ = error
    return mapped
