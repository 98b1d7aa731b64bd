"""The steps of one run in this attempt: what every kind of call is made of.

A call is *taken* (named, counted and found again) the moment the agent makes it, *opened* when it
begins, and then goes through two commits: `intend` before anything is done, `record` or `fail` before
the agent sees what came of it. How the kinds differ is told in `asking.py` (LLM calls), `effects.py`
(tools and steps) and `quiet.py` (values, memory, sleep).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn, TypeVar

from perdure.agents.blame import Blame
from perdure.agents.call import SCOPE, Call
from perdure.agents.commits import Commits
from perdure.agents.journal import Intent, MemoryWrite, Step, StepKind
from perdure.agents.limits import Capture, Limits, Spending
from perdure.agents.parts import RunParts
from perdure.agents.replay import Course, Replay, ambiguous, course
from perdure.agents.waits import OpenCall, OpenCalls
from perdure.errors.base import Category, Conflict, ErrorFacts, LeaseError, LeaseLost, PerdureError, StoreError
from perdure.errors.report import error_from, facts_of
from perdure.events import tell
from perdure.messages import ids
from perdure.messages.message import Lease, MessageId, NewMessage, Wait
from perdure.messages.spending import Bill
from perdure.resources.usage import Usage
from perdure.security.secrets import redact_facts
from perdure.tools.plain import dump, fingerprint, plain

__all__ = ["Steps"]

T = TypeVar("T")

_log = logging.getLogger("perdure.agents")
_CODE = frozenset({StepKind.LLM, StepKind.STEP})
"""Calls that are the agent's own code: its version is theirs."""
_TWINS = frozenset({StepKind.LLM, StepKind.TOOL, StepKind.STEP})
_WITHDRAWN = ErrorFacts(code="call-withdrawn", category=Category.INTERNAL, message="the agent gave the call up before it was sent")


class Steps:
    """The journal of one run, as this attempt writes and replays it.

    Args:
        lease (Lease): The right to it.
        recorded (Iterable[Step]): All steps of earlier attempts.
        parts (RunParts): The world.
        limits (Limits): What the run may use.
        capture (Capture): What is kept to show of what its calls ask.
        code_version (str | None): Of the agent.
    """

    def __init__(
        self,
        lease: Lease,
        recorded: Iterable[Step],
        parts: RunParts,
        limits: Limits,
        *,
        capture: Capture = "full",
        code_version: str | None = None,
    ) -> None:
        recorded = list(recorded)
        self.lease = lease
        self.parts = parts
        self.open: OpenCalls = OpenCalls(parts)
        self.blame: Blame = Blame()
        self._tools: dict[int, tuple[str, str | None]] = {}
        self.spending: Spending = Spending(limits, recorded)
        self.draining: bool = False
        """The agent has ended: what fails now was never seen by it."""
        self._commits = Commits(lease, parts, self.open)
        self._capture: Capture = capture
        self._code_version = code_version
        self._replay = Replay(recorded)
        self._warned: set[tuple[str, StepKind, str]] = set()
        self._flying: defaultdict[tuple[str, StepKind, str, str], int] = defaultdict(int)
        message = lease.message
        self._facts = {"message": message.id, "agent": message.agent, "queue": message.queue, "tenant": message.tenant}

    def take(
        self,
        kind: StepKind,
        name: str,
        arguments: Any,
        *,
        show: Any = None,
        idempotent: bool = False,
        tool_version: str | None = None,
    ) -> Call:
        """Name a call. Not async: it counts at the moment the agent makes it.

        Args:
            kind (StepKind): What it is a call of.
            name (str): Its name.
            arguments (Any): What makes it this call and no other.
            show (Any): What to show of it; None shows the arguments.
            idempotent (bool): Whether it may be run twice.
            tool_version (str | None): Which code it would run; None is the agent's own.

        Returns:
            Call: Ready to be opened.

        Raises:
            InvalidInput: JSON cannot say the arguments.
        """
        what = f"the argument of {kind.value} {name!r}"
        digest = fingerprint(arguments, what=what)
        request = self._captured(arguments if show is None else show, what)
        key, found = self._replay.take(SCOPE.get(), kind, name, digest)
        number = found.number if found else 0
        version = tool_version or (self._code_version if kind in _CODE else None)
        return Call(key, found, request, idempotent, version, number=number, again=ambiguous(found))

    @asynccontextmanager
    async def opened(self, call: Call) -> AsyncIterator[OpenCall]:
        """Have a call open.

        Args:
            call (Call): Which.

        Yields:
            OpenCall: By which it can wait.
        """
        here = self.open.enter()
        same = (call.key.scope, call.key.kind, call.key.name, call.key.fingerprint)
        self._flying[same] += 1
        try:
            if self._flying[same] > 1 and call.key.kind in _TWINS:
                self._warn_of_twins(call)
            if self.open.cut and self.open.unknown is not None:
                await here.wait(self.open.unknown)
            yield here
        finally:
            self._flying[same] -= 1
            here.leave()

    async def recorded(self, call: Call, here: OpenCall) -> bytes | None:
        """Answer a call from the journal, if it can.

        Args:
            call (Call): Which.
            here (OpenCall): Where it waits if only a person can say what became of it.

        Returns:
            bytes | None: The recorded result; None if the call is to be made.

        Raises:
            Exception: The recorded error.
        """
        todo = course(call.found, idempotent=call.idempotent)
        if call.found is None or todo is Course.MAKE:
            return None
        if todo is Course.ASK:
            await self.wait_for_person(call, here)
        self.tell("replayed", call, state=call.found.state.value)
        if todo is Course.ANSWER:
            if call.key.kind is StepKind.LLM:
                self._commits.saved(call.found.usage or Usage(calls=1))
            return call.found.result or b"null"
        error = error_from(call.found.error or _WITHDRAWN)
        self._met(error, call)
        raise error

    async def wait_for_person(self, call: Call, here: OpenCall, error: ErrorFacts | None = None) -> NoReturn:
        """Wait until a person says what became of a call; the run is parked for that.

        Args:
            call (Call): Which.
            here (OpenCall): Where it waits.
            error (ErrorFacts | None): Why its outcome is unknown.
        """
        wait = self.unknown(call, error)
        try:
            await here.wait(wait)
        finally:
            self.open.cut = True  # whoever made the call does not wait for it: then nothing more may be begun
        raise asyncio.CancelledError

    def unknown(self, call: Call, error: ErrorFacts | None = None, *, cut: bool = False) -> Wait:
        """Note that only a person can say what became of a call.

        Args:
            call (Call): Which.
            error (ErrorFacts | None): Why.
            cut (bool): The agent gave it up and may go on without it; it must not get any further.

        Returns:
            Wait: For that person.
        """
        wait = Wait(why="outcome-unknown", step=call.number, error=error)
        self.open.ask_person(wait, cut=cut)
        return wait

    async def intend(self, call: Call, *, until: float | None = None, lane: str | None = None, diverged: bool = False) -> None:
        """Commit that a call is about to be made; it has its number afterwards.

        Args:
            call (Call): Which.
            until (float | None): For a sleep: when it ends.
            lane (str | None): For a call of a model: where it goes.
            diverged (bool): It stands where another one was recorded.

        Raises:
            LeaseError: This worker may no longer begin anything.
            RunLimit: The run may make no more of these.
            BudgetReached: There is no money left for it today.
            CallTooDear: It may cost more than a whole budget.
        """
        self._check_alive()
        intent = self.intent(call, until=until, lane=lane, diverged=diverged)
        try:
            await self._commits.intend(intent)
        except asyncio.CancelledError:
            if not intent.ambiguous:  # else it may have been made in a life before: that must not be forgotten, whatever was written now
                with suppress(Conflict, LeaseError, StoreError):
                    await self._commits.defer(call.number, _WITHDRAWN, call.bill)
            raise
        self.tell("intended", call)
        self._check_alive()

    async def record(self, call: Call, result: bytes, usage: Usage | None = None, *, served_by: str | None = None, **facts: Any) -> None:
        """Commit what came of a call.

        Args:
            call (Call): Which.
            result (bytes): JSON.
            usage (Usage | None): What it used.
            served_by (str | None): The lane that answered, where that is not the one it was sent to last.
            **facts (Any): For listeners.
        """
        self.spending.add(call.number, usage)
        await self._commits.record(call.number, result, usage, call.bill, served_by)
        self.tell("recorded", call, seconds=self.parts.clock.now() - call.began_at, **facts)

    async def fail(self, call: Call, error: BaseException, *, kind: type[PerdureError], usage: Usage | None = None) -> Exception:
        """Commit that a call failed.

        Args:
            call (Call): Which.
            error (BaseException): How.
            kind (type[PerdureError]): What a foreign exception counts as.
            usage (Usage | None): What it used all the same.

        Returns:
            Exception: What the agent is to see: the error itself if a replay can make it again, else
            what the replay will make of it.
        """
        facts = facts_of(error, kind=kind)
        self.spending.add(call.number, usage)
        await self._commits.fail(call.number, facts, usage, call.bill)
        self.tell("failed", call, code=facts.code, seconds=self.parts.clock.now() - call.began_at)
        if self.draining:  # the agent has not seen it and so has not caught it: it is to be made again
            await self.defer(call.number, facts)
        seen = error_from(facts)
        if isinstance(error, Exception) and type(seen) is type(error):
            seen = error
        else:
            seen.__cause__ = error
        self._met(seen, call)
        return seen

    def tool_of(self, number: int) -> tuple[str, str | None] | None:
        """Say whose failure a step was.

        Args:
            number (int): A step that was recorded as failed.

        Returns:
            tuple[str, str | None] | None: The tool's name and version; None if it was no tool's.
        """
        return self._tools.get(number)

    def _met(self, error: BaseException, call: Call) -> None:
        self.blame.remember(error, call.number)
        if call.key.kind is StepKind.TOOL:
            self._tools[call.number] = (call.key.name, call.tool_version)

    async def defer(self, number: int, error: ErrorFacts, bill: Bill | None = None, usage: Usage | None = None) -> None:
        """Commit that a call will be made again.

        Args:
            number (int): Its step.
            error (ErrorFacts): Why.
            bill (Bill | None): Where it is booked, or what was held for it given back, if it has not been booked yet.
            usage (Usage | None): What it used all the same.
        """
        self.spending.add(number, usage)
        await self._commits.defer(number, error, bill, usage)

    async def noted(self, call: Call, handle: str) -> None:
        """Commit what the provider calls a call, the moment that is known.

        Args:
            call (Call): Which.
            handle (str): By which it can be asked after a crash.
        """
        await self._commits.handle(call.number, handle)

    async def read(self, look: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Read something of the store beside the journal. If it stays busy the run halts, as if it could not write.

        Args:
            look (Callable[[], Coroutine[Any, Any, T]]): Reads it.

        Returns:
            T: What it says.
        """
        return await self._commits.read(look)

    async def count_saved(self) -> None:
        """Commit what replay has saved and is not counted yet. That this fails is no reason to lose what the run did."""
        with suppress(LeaseError, StoreError):
            await self._commits.count_saved()

    async def settle(self, call: Call, result: bytes, memory: MemoryWrite | None = None) -> None:
        """Commit a call without outside effect in one go.

        Args:
            call (Call): Which.
            result (bytes): JSON.
            memory (MemoryWrite | None): What it changes in the store's memory.
        """
        await self._commits.settle(self.intent(call, diverged=self._diverges(call)), result, memory)
        self.tell("recorded", call, seconds=0.0)

    async def obtain(self, call: Call, intent: Intent) -> bytes | None:
        """Begin to wait for something, or take it if it is there.

        Args:
            call (Call): Which.
            intent (Intent): Of the call, with what it waits for.

        Returns:
            bytes | None: Its result, recorded; None if it has not come.

        Raises:
            PerdureError: What came is recorded as a failure.
        """
        self._check_alive()
        obtained = await self._commits.obtain(intent)
        if obtained is None:
            return None
        if obtained.error is None:
            self.tell("recorded", call, seconds=self.parts.clock.now() - call.began_at)
            return obtained.result or b"null"
        self.tell("failed", call, code=obtained.error.code, seconds=self.parts.clock.now() - call.began_at)
        if self.draining:
            await self.defer(call.number, obtained.error)
        error = error_from(obtained.error)
        self._met(error, call)
        raise error

    async def send(self, call: Call, messages: Sequence[NewMessage]) -> Sequence[MessageId]:
        """Put messages and record that, in one go.

        Args:
            call (Call): Which.
            messages (Sequence[NewMessage]): What to put.

        Returns:
            Sequence[MessageId]: Theirs.
        """
        self.spending.admit_children(len(messages))
        intent = self.intent(call, diverged=self._diverges(call))
        sent = await self._commits.send(intent, messages, self.spending.max_depth)
        self.tell("recorded", call, seconds=0.0)
        return sent

    async def diverged(self, call: Call) -> bool:
        """Tell whether a call stands where another one was recorded.

        Args:
            call (Call): Which.

        Returns:
            bool: As it is after other branches had a moment to come by what is theirs.
        """
        for pause_s in (0.0, 0.0, 0.01):
            if not self._diverges(call):
                return False
            await asyncio.sleep(pause_s)
        return self._diverges(call)

    def key_of(self, call: Call) -> str:
        """Name a step for services that take idempotency keys.

        Args:
            call (Call): Which.

        Returns:
            str: The same on every try.
        """
        return f"{ids.write(self.lease.message.id)}-{call.number}"

    def tell(self, what: str, call: Call, **facts: Any) -> None:
        """Let listeners know.

        Args:
            what (str): The past tense of what happened to the step.
            call (Call): Which.
            **facts (Any): More.
        """
        key = call.key
        tell(f"step.{what}", **self._facts, step=call.number, kind=key.kind.value, name=key.name, scope=key.scope, **facts)

    def _warn_of_twins(self, call: Call) -> None:
        self.tell("twin", call)
        place = (call.key.scope, call.key.kind, call.key.name)
        if place not in self._warned:
            self._warned.add(place)
            _log.warning(
                "%s makes equal calls %r at once: if it runs again, their answers could be exchanged. Give each branch a `run.scope`.",
                ids.write(self.lease.message.id),
                call.key.name,
            )

    def _captured(self, shown: Any, what: str) -> bytes | None:
        if self._capture == "none":
            return None
        return dump(shown if self._capture == "full" else redact_facts(plain(shown, what=what)), what=what)

    def _diverges(self, call: Call) -> bool:
        return call.found is None and self._replay.diverges(call.key)

    def intent(self, call: Call, *, until: float | None = None, lane: str | None = None, diverged: bool = False) -> Intent:
        """Say what is about to be done; the call has its number afterwards.

        Args:
            call (Call): Which.
            until (float | None): For a wait: when it ends.
            lane (str | None): For a call of a model: where it goes.
            diverged (bool): It stands where another one was recorded.

        Returns:
            Intent: For the journal.

        Raises:
            RunLimit: The run may make no more of these.
        """
        number = call.number or self._replay.next_number()
        self.spending.admit(call.key.kind, number)
        call.number = number
        call.began_at = self.parts.clock.now()
        again, call.again = call.again, False
        if again and call.key.kind is StepKind.LLM:
            self.spending.paid_again(call.number)
        for what in (name for name, happened in (("ambiguous", again), ("diverged", diverged)) if happened):
            self.tell(what, call)
        return Intent(
            number=call.number,
            key=call.key,
            request=call.request,
            idempotent=call.idempotent,
            tool_version=call.tool_version,
            until=until,
            lane=lane,
            diverged=diverged,
            ambiguous=again,
            bill=call.bill,
        )

    def _check_alive(self) -> None:
        if not self.parts.effects_allowed():
            error = LeaseLost(
                "this worker has not been able to say that it lives and begins nothing new", hint="The message goes on elsewhere."
            )
            self.open.lose(error)
            raise error
