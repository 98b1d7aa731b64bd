"""The contract of what a run remembers: its steps.

A step is one call inside a run. It is found again by its content, not by its place: (scope, kind, name,
fingerprint of the arguments, n-th equal call). Two commits make a step: the *intent* before the call is
sent, the *result* before the agent sees it. So after a crash a step is in one of three conditions:
recorded (its answer is replayed), never begun (it is made), or intended without a result - and then its
outcome is unknown and a rule or a person decides (`run.py`).

Proved by `perdure.testing.JournalKit`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts
from perdure.messages.message import Lease, MessageId, NewMessage
from perdure.messages.spending import Bill
from perdure.resources.usage import Usage

__all__ = [
    "FORMAT",
    "MOST_FAILED_TRIES",
    "WAITS",
    "Decision",
    "FailedTry",
    "Intent",
    "Journal",
    "MemoryWrite",
    "Obtained",
    "Step",
    "StepKey",
    "StepKind",
    "StepState",
    "enough",
    "missed",
]


FORMAT = 1
"""The rules of this version: which keys and fingerprints calls have, and what steps mean.

A run with steps of a newer one is left to newer workers."""


MOST_FAILED_TRIES = 20
"""So many of a step's tries without an answer are told one by one, the latest; `tries` counts all."""


class StepKind(StrEnum):
    """What a step is a call of."""

    LLM = "llm"
    TOOL = "tool"
    STEP = "step"
    MEMORY = "memory"
    SLEEP = "sleep"
    VALUE = "value"
    """`now`, `uuid`, `random`."""
    WAIT = "wait"
    """For a signal."""
    SEND = "send"
    RESULT = "result"
    """Of messages it has sent."""


WAITS: frozenset[StepKind] = frozenset({StepKind.SLEEP, StepKind.WAIT, StepKind.RESULT})
"""Steps that do nothing but wait: begun twice they are no second call, and their time is nobody's work."""


class StepState(StrEnum):
    """What is known of a step."""

    INTENT = "intent"  # begun; whether it happened is unknown until a result is recorded
    DONE = "done"  # recorded: never made again
    FAILED = "failed"  # recorded as failed: the same error is raised again
    AGAIN = "again"  # known not to count (ended the attempt, rate limited, decided): made again


class Decision(StrEnum):
    """What a person says of a step whose outcome is unknown."""

    HAPPENED = "happened"
    RUN_AGAIN = "run-again"
    BURY = "bury"


class StepKey(msgspec.Struct, frozen=True):
    """By what a step is found again."""

    scope: str
    """`run.scope` names joined with `/`; the empty string outside."""
    kind: StepKind
    name: str
    fingerprint: str
    """Hex digest of the canonical arguments."""
    n: int
    """0 for the first equal call of the run, 1 for the second."""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A step about to be made."""

    number: int
    """Its place in the journal, from 1, given by the run; the same again when it is made again."""
    key: StepKey
    request: bytes | None = None
    """Its arguments as JSON, to show; None where capture forbids."""
    idempotent: bool = False
    tool_version: str | None = None
    """Which code it runs: the tool's, else the agent's."""
    until: Moment | None = None
    """For a sleep or a wait: when it ends."""
    signal: str | None = None
    """For `obtain`: the name of the signal it waits for."""
    children: Sequence[MessageId] = ()
    """For `obtain`: whose end it waits for."""
    lenient: bool = False
    """A child that has not ended well is a result like the others, not a failure of the step."""
    lane: str | None = None
    """For a call of a model: which deployment it is sent to, as `provider/model`."""
    diverged: bool = False
    """It is new, while the journal holds an unclaimed step of the same kind and name."""
    ambiguous: bool = False
    """It is made once more although an earlier try may have happened (and been billed)."""
    bill: Bill | None = None
    """On whose account it is, with what is to be held for it."""


class FailedTry(msgspec.Struct, frozen=True, kw_only=True):
    """A try of a step that got no answer and was followed by another one."""

    at: Moment
    """When it ended."""
    lane: str | None = None
    error: ErrorFacts


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step as recorded."""

    number: int
    key: StepKey
    state: StepState
    attempt: int
    """The attempt of the message in which it was last begun."""
    tries: int = 1
    ambiguous: int = 0
    """How often it was made once more although it may have happened before."""
    began_at: Moment
    ended_at: Moment | None = None
    until: Moment | None = None
    idempotent: bool = False
    diverged: bool = False
    tool_version: str | None = None
    request: bytes | None = None
    result: bytes | None = None
    error: ErrorFacts | None = None
    usage: Usage | None = None
    handle: str | None = None
    """What the provider calls it (background response, batch), to be asked after a crash."""
    decided_by: str | None = None
    """The key that decided on its unknown outcome."""
    format: int = FORMAT
    """By which rules its key and fingerprint were made."""
    lane: str | None = None
    """For a call of a model: where its last try went; once recorded, who answered."""
    failed_tries: Sequence[FailedTry] = ()
    """The tries before that one, the earliest first; at most `MOST_FAILED_TRIES`."""
    origin: int | None = None
    """The message it was recorded for, where it was copied by a fork; 0 where it was imported. Its usage is not this run's."""


class Obtained(msgspec.Struct, frozen=True, kw_only=True):
    """What a wait ended with, as recorded."""

    result: bytes | None = None
    error: ErrorFacts | None = None
    """In place of a result: a child it waited for did not end well."""


class MemoryWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A change of memory, committed together with the step that made it."""

    space: str
    key: str | None
    """None clears the whole space."""
    value: bytes | None = None
    """JSON; None removes the key."""


def enough(steps: Iterable[Step], most_bytes: int | None) -> Iterator[Step]:
    """Take steps until their requests and results have become large.

    Args:
        steps (Iterable[Step]): Which; read only as far as they are taken.
        most_bytes (int | None): How large; None takes all.

    Yields:
        Step: At least the first.
    """
    size = 0
    for step in steps:
        yield step
        size += len(step.request or b"") + len(step.result or b"")
        if most_bytes is not None and size >= most_bytes:
            return


def missed(before: Sequence[FailedTry], at: Moment | None, lane: str | None, error: ErrorFacts | None) -> Sequence[FailedTry]:
    """Say which tries of a step got no answer, now that it is made once more.

    Args:
        before (Sequence[FailedTry]): Those known so far.
        at (Moment | None): When its last try ended; None if nobody knows.
        lane (str | None): Where that went.
        error (ErrorFacts | None): What it ended with; None if its outcome is unknown.

    Returns:
        Sequence[FailedTry]: The latest.
    """
    if error is None or at is None:
        return before
    return (*before, FailedTry(at=at, lane=lane, error=error))[-MOST_FAILED_TRIES:]


class Journal(Protocol):
    """Keeps what runs have done.

    Every writing method takes the lease and is refused with `LeaseLost` when it is stale; nothing is
    then written, memory included. One that begins a step (`intend`, `settle`, `obtain`, `send`) is refused with
    `RunCancelled` when the run has been called off; what is under way may still be recorded.
    """

    async def steps(self, id: MessageId, *, shown: bool = True, after: int = 0, most_bytes: int | None = None) -> Sequence[Step]:
        """Read the steps of a message's run, by number.

        Args:
            id (MessageId): Which run.
            shown (bool): False leaves requests out, which people look at and a replay does not need.
            after (int): Only steps with a larger number.
            most_bytes (int | None): End early when requests and results have become this large: each request
                says the whole conversation again.

        Returns:
            Sequence[Step]: Empty before its first step; at least one if there are any more.
        """
        ...

    async def intend(self, lease: Lease, intent: Intent) -> None:
        """Commit that a step is about to be made, before it is.

        A number that exists already is made again: its tries (and `ambiguous`) go up, what it has used
        so far is kept, and an error that it ended with is from then on one of its `failed_tries`. A call of a model that
        is `ambiguous` is counted as `possibly_paid_twice`. What its bill says is held for it in the ledger.

        Args:
            lease (Lease): The right to the run.
            intent (Intent): The step.

        Raises:
            LeaseLost: The run is no longer this worker's: do not make the call.
            Conflict: The step is recorded as done; it is never made again.
            BudgetReached: There is no money left for it today; nothing is written.
            CallTooDear: It may cost more than a whole budget; nothing is written.
        """
        ...

    async def record(
        self,
        lease: Lease,
        number: int,
        result: bytes,
        *,
        usage: Usage | None = None,
        memory: MemoryWrite | None = None,
        bill: Bill | None = None,
        lane: str | None = None,
    ) -> None:
        """Commit a step's result, before the agent sees it.

        Args:
            lease (Lease): The right to the run.
            number (int): The intended step.
            result (bytes): JSON.
            usage (Usage | None): What it used.
            memory (MemoryWrite | None): What it changed in the store's memory, committed with it.
            bill (Bill | None): As it was intended, to be booked in the ledger.
            lane (str | None): Who answered, where that is not whom the step was sent to last.

        Raises:
            LeaseLost: The run is no longer this worker's; the result is refused.
            Conflict: The step is not under way: never intended, or ended already.
        """
        ...

    async def settle(self, lease: Lease, intent: Intent, result: bytes, *, memory: MemoryWrite | None = None) -> None:
        """Commit a step that has no outside effect in one go: intent and result together.

        For `now`, `uuid`, `random` and memory, which cannot be ambiguous.

        Args:
            lease (Lease): The right to the run.
            intent (Intent): The step.
            result (bytes): JSON.
            memory (MemoryWrite | None): What it changed in the store's memory.

        Raises:
            LeaseLost: The run is no longer this worker's; nothing is written.
            Conflict: The step is recorded as done already.
        """
        ...

    async def obtain(self, lease: Lease, intent: Intent) -> Obtained | None:
        """Begin to wait for something, or take it if it is there: one commit either way.

        Called again, with the same number, whenever it may have come; a step that is under way then goes on.

        A signal is the oldest of its name that no step has taken. Children are awaited all together: what became
        of them is recorded once the last has ended, as `children.outcome_of` says.

        Args:
            lease (Lease): The right to the run.
            intent (Intent): The step, with what it waits for: `signal` or `children`.

        Returns:
            Obtained | None: What was taken and is recorded now; None if it has not come.

        Raises:
            LeaseError: The run is no longer this worker's, or was called off.
            NotFound: One of the children was not sent by this run.
            Conflict: The step is recorded already.
        """
        ...

    async def send(self, lease: Lease, intent: Intent, messages: Sequence[NewMessage], *, max_depth: int) -> Sequence[MessageId]:
        """Put messages and record the step that sends them, in one transaction: never twice, never lost.

        They have the run's message as `parent`, and its tenant.

        Args:
            lease (Lease): The right to the run.
            intent (Intent): The step; its result are their ids, as `msg_…`.
            messages (Sequence[NewMessage]): What to put.
            max_depth (int): How many senders may stand behind one another.

        Returns:
            Sequence[MessageId]: One for each message, in their order.

        Raises:
            LeaseError: The run is no longer this worker's, or was called off.
            RunLimit: There are too many senders behind one another.
            Conflict: The step is recorded already.
        """
        ...

    async def fail(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None, bill: Bill | None = None) -> None:
        """Commit that a step failed, before the agent sees it.

        Args:
            lease (Lease): The right to the run.
            number (int): The intended step.
            error (ErrorFacts): How.
            usage (Usage | None): What it used all the same.
            bill (Bill | None): As it was intended, to be booked in the ledger.

        Raises:
            LeaseLost: The run is no longer this worker's.
            Conflict: The step is not under way.
        """
        ...

    async def defer(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None, bill: Bill | None = None) -> None:
        """Commit that a step does not count and will be made again (a rate limit, a closed lane, another deployment).

        Args:
            lease (Lease): The right to the run.
            number (int): The intended step, or one recorded as failed.
            error (ErrorFacts): Why; shown while the message waits.
            usage (Usage | None): What it used all the same.
            bill (Bill | None): As it was intended: what it used is booked, and what was held for it given back.

        Raises:
            LeaseLost: The run is no longer this worker's.
            Conflict: The step is neither under way nor failed.
        """
        ...

    async def handle(self, lease: Lease, number: int, handle: str) -> None:
        """Commit what the provider calls a call that is under way, the moment that is known.

        Args:
            lease (Lease): The right to the run.
            number (int): The intended step.
            handle (str): By which the provider can be asked for the answer after a crash.

        Raises:
            LeaseLost: The run is no longer this worker's.
            Conflict: The step is not under way.
        """
        ...

    async def replayed(self, lease: Lease, saved: Usage) -> None:
        """Count recorded answers of models that were replayed instead of paid for.

        Args:
            lease (Lease): The right to the run.
            saved (Usage): What they had used, since this was said last.

        Raises:
            LeaseLost: The run is no longer this worker's.
        """
        ...

    async def decide(
        self, id: MessageId, number: int, decision: Decision, *, by: str, result: bytes | None = None, tenant: str | None = None
    ) -> None:
        """Say what became of a step whose outcome is unknown; the message goes on, or is buried.

        A buried one is a dead letter with the error it waited with; its step stays as unknown as it is,
        so that the question comes up again if it is revived.

        Args:
            id (MessageId): The message, which waits as `outcome-unknown`.
            number (int): Its step.
            decision (Decision): What is true.
            by (str): Who says so: a key's id.
            result (bytes | None): For `HAPPENED`: what the step returned, JSON; None stands for null.
            tenant (str | None): Only if the message is this tenant's.

        Raises:
            NotFound: No such message (of this tenant), or no such step.
            Conflict: The message does not wait for this step's outcome.
        """
        ...
