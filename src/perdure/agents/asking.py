"""LLM calls as steps.

Each deployment of the model is tried once, whichever is open first; whether there will be another attempt is decided for
the whole message. A limit is no failure: the call goes elsewhere, or is put off and made again when its moment has come,
here or after the run was parked. Every try is an intent of the same step, committed before it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NoReturn

import msgspec

from perdure.agents.call import Call
from perdure.agents.choosing import UNWATCHED, Choosing, Way
from perdure.agents.costs import Costs
from perdure.agents.flow import Flow
from perdure.agents.hedging import Asked, Raced, raced
from perdure.agents.journal import StepKind, StepState
from perdure.agents.kinds import CHAT, Kind
from perdure.agents.steps import Steps
from perdure.agents.waits import OpenCall
from perdure.clock import awake, chance
from perdure.errors.base import Billed, BudgetReached, ErrorFacts, InvalidOutput, ProviderError, ServerFailed
from perdure.errors.report import facts_of
from perdure.events import tell
from perdure.messages.message import Wait
from perdure.messages.retry import counts_in_circuit, wait_of
from perdure.providers.asks import Ask
from perdure.providers.deployments import Deployments
from perdure.providers.protocol import ChatAnswer, ChatProvider, ResumableProvider
from perdure.providers.target import Target
from perdure.resources.usage import Usage
from perdure.tools.plain import dump, load

__all__ = ["Asking", "content_of", "take"]

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
    return steps.take(StepKind.LLM, name, content_of(body), show=body)


def content_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Say what makes a request this one and no other.

    Args:
        body (Mapping[str, Any]): An OpenAI chat request.

    Returns:
        dict[str, Any]: Without what is said of the way the answer travels.
    """
    return {key: value for key, value in body.items() if key not in _TRANSPORT and value is not None}


class Asking:
    """One LLM call on its way.

    Args:
        steps (Steps): The run's.
        call (Call): The call.
        body (Mapping[str, Any]): An OpenAI chat request.
        model (Callable[[], Deployments]): Finds out where it can go; asked only if it goes anywhere.
        timeout_s (float | None): For the whole answer of one try; None for the provider's own.
        check (Callable[[ChatAnswer], None] | None): Raises `InvalidOutput` for an answer that is to be
            recorded as a failure.
        kind (Kind): What is asked for.
        flow (Flow | None): Passes the answer on while it comes; None if it is wanted whole.
    """

    def __init__(
        self,
        steps: Steps,
        call: Call,
        body: Mapping[str, Any],
        model: Callable[[], Deployments],
        *,
        timeout_s: float | None = None,
        check: Callable[[ChatAnswer], None] | None = None,
        kind: Kind = CHAT,
        flow: Flow | None = None,
    ) -> None:
        self._steps = steps
        self._call = call
        self._body = body
        self._model = model
        self._timeout_s = timeout_s
        self._check = check
        self._kind = kind
        self._flow = flow
        self._costs = Costs(steps.parts.prices, steps.lease.message, steps.spending.max_cost_usd)

    async def answer(self) -> ChatAnswer:
        """Have the answer, from the journal or from a provider.

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
            choosing = Choosing(self._model(), self._steps.parts, self._wait, self._ask)
            self._costs.reckon(self._body, choosing.model.targets)
            return await self._asked_before(choosing, here) or await self._asked_now(choosing, here)

    async def _asked_before(self, choosing: Choosing, here: OpenCall) -> ChatAnswer | None:
        """Ask the provider for the answer of a call that was under way when the run was cut off, if it had a handle."""
        found = self._call.found
        if found is None or found.state is not StepState.INTENT:
            return None
        name, _, handle = (found.handle or "").partition(":")
        target = choosing.named(name) if handle else None
        if target is None or not isinstance(target.provider, ResumableProvider):
            return None
        self._steps.tell("resumed", self._call, lane=target.lane)
        self._call.bill = self._costs.bill(target, found.began_at)  # as it was when it was intended
        told = Raced(await self._resumed(target.provider, handle, target, here), Way(target, UNWATCHED))
        if isinstance(told.asked, ChatAnswer):
            return await self._accepted(told.asked, told)
        if told.asked is not None and (way := await self._missed(told.asked, choosing, told)) is not None:
            way.passage.left()  # it is found again: the call goes on as any other
        return None

    async def _asked_now(self, choosing: Choosing, here: OpenCall) -> ChatAnswer:
        diverged = await self._steps.diverged(self._call)
        self._costs.refuse_unpriced(choosing.model.targets)
        way = await self._let_in(choosing, here)
        while True:
            following: Way | None = None
            with ExitStack() as leaving:
                leaving.callback(way.passage.left)
                await _until_its_start(way, here)
                if way.passage.overtaken:
                    leaving.close()
                    way = await self._let_in(choosing, here)
                    continue
                wait = await self._intended(way, diverged=diverged)
                if wait is None:
                    diverged = False  # said once, however often it is tried
                    told = await self._tried(choosing, way, here, leaving)
                    self._call.bill = self._costs.bill_of(told.way.target)
                    if isinstance(told.asked, ChatAnswer):
                        return await self._accepted(told.asked, told)
                    if told.asked is not None:
                        following = await self._missed(told.asked, choosing, told)
            if wait is not None:
                await here.wait(wait)
            way = following or await self._let_in(choosing, here)

    async def _intended(self, way: Way, *, diverged: bool) -> Wait | None:
        """Commit the intent, with what the call may cost; without money for it, say how long to wait until there is."""
        self._call.bill = self._costs.bill(way.target, self._steps.parts.clock.now())
        again = self._call.again
        try:
            await self._steps.intend(self._call, lane=way.target.lane, diverged=diverged)
        except BudgetReached as error:
            self._call.again = again
            self._steps.tell("deferred", self._call, code=error.code, lane=way.target.lane)
            wait = self._wait(facts_of(error))
            if wait is None:
                raise
            return msgspec.structs.replace(wait, step=None)  # nothing has been written of it
        return None

    async def _tried(self, choosing: Choosing, way: Way, here: OpenCall, leaving: ExitStack) -> Raced:
        """Ask once, or twice if that takes long; of two answers that come piece by piece neither could be taken back."""
        if self._flow is not None:
            return Raced(await self._one_try(choosing, way, here), way)
        return await raced(choosing, way, lambda way: self._one_try(choosing, way, here), self._hedge, leaving)

    async def _one_try(self, choosing: Choosing, way: Way, here: OpenCall) -> Asked:
        target = way.target
        body = target.request({key: value for key, value in self._body.items() if key not in _NOT_SENT and value is not None})
        provider = target.provider
        way.passage.sent()
        resumable = provider if self._kind is CHAT and isinstance(provider, ResumableProvider) and provider.resumes(body) else None
        began = awake()
        try:
            if resumable is None:
                answer = await self._had(provider, body)
                choosing.model.pace.note(target.lane, awake() - began)
                return answer
            begun = await resumable.begin(body, timeout_s=self._timeout_s)
        except Exception as error:
            return error if isinstance(error, ProviderError) else _unmapped(error)
        await self._steps.noted(self._call, f"{provider.name}:{begun}")
        return await self._resumed(resumable, begun, target, here)

    async def _had(self, provider: ChatProvider, body: Mapping[str, Any]) -> ChatAnswer:
        if self._flow is None:
            return await self._kind.ask(provider, body, self._timeout_s)
        return await self._flow.through(provider.stream(body, timeout_s=self._timeout_s))

    async def _resumed(self, provider: ResumableProvider, handle: str, target: Target, here: OpenCall) -> Asked:
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
            if found is None:
                self._steps.tell("handle-gone", self._call, lane=target.lane)
                self._call.again = True
            return found

    async def _hedge(self, way: Way) -> bool:
        if await self._intended(way, diverged=False) is not None:
            return False
        self._steps.tell("hedged", self._call, lane=way.target.lane)
        return True

    async def _missed(self, error: ProviderError, choosing: Choosing, told: Raced) -> Way | None:
        """Go elsewhere, or wait, or give up: SEMANTICS 3."""
        facts, lane = facts_of(error), told.way.target.lane
        if self._flow is not None and self._flow.begun:
            await self._failed(error, told)  # what was passed on cannot be taken back, and is not joined with another answer
        wait = self._wait(facts)
        if wait is not None:
            await self._put_off(wait, told)
            choosing.bar(lane, wait)
            return None
        if self._kind.falls_back and choosing.fall_back(facts):
            await self._passed_on(facts, told, to=choosing.model.name)
            self._costs.reckon(self._body, choosing.model.targets)
            self._costs.refuse_unpriced(choosing.model.targets)
            return None
        if counts_in_circuit(facts):
            choosing.leave_out(lane)
            way = await choosing.enter()
            if isinstance(way, Way):
                with ExitStack() as leaving:
                    leaving.callback(way.passage.left)
                    await self._passed_on(facts, told, to=way.target.lane)
                    leaving.pop_all()
                return way
        return await self._failed(error, told)

    async def _failed(self, error: ProviderError, told: Raced) -> NoReturn:
        facts = facts_of(error)
        failure = await self._steps.fail(
            self._call, error, kind=ProviderError, usage=self._costs.of_failure(facts, told.way.target, hedged=told.hedged)
        )
        await told.way.passage.met(facts)
        raise failure from failure.__cause__

    async def _passed_on(self, error: ErrorFacts, told: Raced, *, to: str) -> None:
        await self._deferred(error, told, usage=self._costs.of_failure(error, told.way.target, hedged=told.hedged))
        tell("try.passed-on", error=error, agent=self._steps.lease.message.agent)
        self._steps.tell("passed-on", self._call, code=error.code, lane=told.way.target.lane, to=to)
        await told.way.passage.met(error)

    async def _put_off(self, wait: Wait, told: Raced) -> None:
        error = wait.error or facts_of(ProviderError("limited"))
        await self._deferred(error, told)
        self._steps.tell("deferred", self._call, code=error.code, lane=told.way.target.lane)
        await told.way.passage.met(msgspec.structs.replace(error, retry_at=wait.until))

    async def _deferred(self, error: ErrorFacts, told: Raced, usage: Usage | None = None) -> None:
        if usage is None and told.hedged:
            usage = self._costs.of_failure(error, told.way.target, hedged=True)
        await self._steps.defer(self._call.number, error, self._call.bill, usage)
        self._call.again = error.billed is not Billed.NO

    async def _accepted(self, answer: ChatAnswer, told: Raced) -> ChatAnswer:
        usage = self._costs.priced(answer.usage if answer.usage.calls else answer.usage + Usage(calls=1), told.way.target)
        told.way.passage.answered(usage, usage.cost_usd, answer.headroom)
        usage = usage + self._costs.of_the_slower() if told.hedged else usage
        try:
            if self._check is not None:
                self._check(answer)
        except InvalidOutput as error:
            failure = await self._steps.fail(self._call, error, kind=ProviderError, usage=usage)
            raise failure from failure.__cause__
        lane = told.way.target.lane
        facts = {"lane": lane} | msgspec.structs.asdict(usage)
        served = lane if told.hedged else None
        await self._steps.record(self._call, dump(answer.body, what="the answer"), usage, served_by=served, **facts)
        return answer

    async def _let_in(self, choosing: Choosing, here: OpenCall) -> Way:
        while not isinstance(found := await choosing.enter(), Way):
            assert found is not None, "a call whose deployments have all failed is given up before it gets here"
            await here.wait(found)
        return found

    def _ask(self, target: Target) -> Ask:
        return Ask(self._body, usd=self._costs.reckoned_usd(target) or 0.0)

    def _wait(self, error: ErrorFacts) -> Wait | None:
        return wait_of(error, lease=self._steps.lease, step=self._call.number or None, now=self._steps.parts.clock.now(), dice=chance())


async def _until_its_start(way: Way, here: OpenCall) -> None:
    if way.passage.starts_at is not None:
        await here.wait(Wait(why="rate-limit", until=way.passage.starts_at))


def _unmapped(error: Exception) -> ServerFailed:
    mapped = ServerFailed(
        f"the provider raised {type(error).__name__}, which it should have mapped: {error}",
        hint="This is a fault of the provider's code; report it.",
        billed=Billed.MAYBE,
    )
    mapped.__cause__ = error
    return mapped
