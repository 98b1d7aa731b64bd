"""Every error of Perdure, in one tree.

    PerdureError
    ├── InputError                    the caller asked for something that cannot be (4xx)
    │   ├── InvalidInput                  malformed, wrong shape, out of range
    │   │   ├── Malformed                     not JSON, or JSON that nobody should read
    │   │   └── InputTooLarge
    │   ├── WrongMediaType                a body of another kind than we read
    │   ├── WrongMethod                   the door is there, but not for this verb
    │   ├── NotYetBuilt                   known, planned, refused by name
    │   ├── NotFound                      no such message, agent, queue, key, model
    │   │   ├── UnknownAgent
    │   │   └── UnknownModel
    │   ├── Conflict                      it is not in a state in which this can be done
    │   │   ├── DedupConflict                 same key, other body
    │   │   └── CallUnderWay                  same key, and the call is not done
    │   ├── RunEnded                      the address of a run that has ended, or waits
    │   ├── Unauthenticated               no key, or not a good one
    │   ├── Forbidden                     a good key without the scope
    │   └── SyncCallInAsync               a blocking call on a running event loop
    ├── ConfigError                   the settings cannot be used
    ├── ServerUnreachable             a client got no answer from the Perdure server
    ├── ProviderError                 whoever answers prompts did not answer
    │   ├── AccountError                  a person must act; the lane pauses
    │   │   ├── AuthenticationFailed
    │   │   ├── PermissionRefused
    │   │   └── BillingRefused
    │   ├── RateLimited                   wait until `retry_at`; no attempt is used
    │   │   ├── LaneFull                      a limit of our own on the lane
    │   │   └── LaneBudgetSpent               the lane's money of this day or month
    │   ├── CallTooDear                   one call above a lane's whole budget; permanent
    │   ├── CircuitOpen                   wait until `retry_at`; no attempt is used
    │   ├── Overloaded                    retried
    │   ├── ServerFailed                  retried
    │   ├── ProviderTimeout               retried; perhaps billed
    │   ├── NetworkFailed                 retried; billed or not by when it happened
    │   ├── StreamCut                     retried; partly billed
    │   ├── EmptyAnswer                   retried
    │   ├── ContextTooLong                permanent
    │   ├── ContentFiltered               permanent
    │   ├── Refused                       permanent
    │   ├── InvalidOutput                 asked again a few times, then permanent
    │   └── InvalidRequest                permanent
    │       └── ModelNotFound
    ├── RunError                      the work on one message went wrong
    │   ├── AgentFailed                   the agent's own code raised; retried
    │   ├── ToolFailed                    a tool's own exception, seen again on replay; retried
    │   ├── InvalidResult                 the agent returned what its hints do not allow; permanent
    │   ├── RunTimeout                    the attempt took longer than its `timeout_s`; retried
    │   ├── RunLimit                      a run's own limit of steps, tokens, time or cost; permanent
    │   ├── PriceUnknown                  a limit of cost, and a model without a price; permanent
    │   ├── DeadlinePassed                permanent, no attempt used
    │   ├── WaitedTooLong                 `max_wait_s` passed without a stated end; permanent
    │   ├── Poison                        crashed its process three times; permanent
    │   ├── WaitTimedOut                  what `wait_for` or `result_of` waited for did not come in time
    │   ├── ChildFailed                   a message that the run had sent is dead
    │   │   └── ChildCancelled                … or was cancelled
    │   └── OutcomeUnknown                a call that is not idempotent may or may not have happened
    ├── LeaseError                    this worker may no longer write
    │   ├── LeaseLost
    │   ├── RunCancelled                  somebody called the message off; nothing new is begun
    │   └── WorkerFenced
    ├── TurnedAway                    a limit of our own lets nothing through now; retried
    │   ├── BulkheadFull                  so many are at it that there is no room, not even to wait
    │   ├── BudgetReached                 the money of a day is spent; wait until `retry_at`
    │   └── CircuitRefused                it failed too often just now and is left alone for a while
    └── StoreError                    where things are kept did not answer
        ├── StoreBusy
        ├── StoreFull
        ├── StoreUnsuitable               a network file system, a newer schema, a damaged file
        └── StoreClosed

No error class lives anywhere else. Each carries a stable kebab-case `code`, a `category`, a `hint`, and
the five facts by which a message's fate is decided: `retryable`, `retry_at`, `scope` (what to pause),
`billed` and `evidence`. `ErrorFacts` is the same as plain data: what is journaled, stored with a dead
letter and shown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from perdure.clock import Moment


class Category(StrEnum):
    """Who or what is the cause; one word for statistics and rules."""

    INPUT = "input"
    CONFIG = "config"
    AUTH = "auth"
    PERMISSION = "permission"
    BILLING = "billing"
    RATE_LIMIT = "rate-limit"
    CIRCUIT_OPEN = "circuit-open"
    BUDGET = "budget-window"
    OVERLOADED = "overloaded"
    SERVER = "server"
    TIMEOUT = "timeout"
    NETWORK = "network"
    STREAM_CUT = "stream-cut"
    EMPTY = "empty-answer"
    CONTEXT_LENGTH = "context-length"
    CONTENT_FILTER = "content-filter"
    REFUSAL = "refusal"
    INVALID_OUTPUT = "invalid-output"
    INVALID_REQUEST = "invalid-request"
    MODEL_NOT_FOUND = "model-not-found"
    AGENT = "agent"
    TOOL = "tool"
    LIMIT = "limit"
    DEADLINE = "deadline"
    POISON = "poison"
    OUTCOME_UNKNOWN = "outcome-unknown"
    LEASE_LOST = "lease-lost"
    STORAGE = "storage"
    INTERNAL = "internal"


class Scope(StrEnum):
    """What has to pause because of an error."""

    REQUEST = "request"
    MODEL = "model"
    KEY = "key"
    ACCOUNT = "account"
    ENDPOINT = "endpoint"


class Billed(StrEnum):
    """Whether the provider may ask money for the call that failed."""

    NO = "no"
    MAYBE = "maybe"
    PARTIAL = "partial"
    YES = "yes"


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the judgement rests on, as the provider said it; never a secret."""

    status: int | None = None
    provider: str | None = None
    model: str | None = None
    provider_code: str | None = None
    request_id: str | None = None
    rule: str | None = None
    said: str | None = None
    """What a provider answered, shortened and without keys, where no rule knew it."""
    tool: str | None = None
    tool_version: str | None = None
    trace: str | None = None


class ErrorFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as plain data: what is journaled, kept with a dead letter, and shown."""

    code: str
    category: Category
    message: str
    hint: str | None = None
    retryable: bool = False
    retry_at: Moment | None = None
    scope: Scope = Scope.REQUEST
    billed: Billed = Billed.NO
    evidence: Evidence = Evidence()
    type_name: str | None = None
    """`module:Class` of a foreign exception, so that a replay can raise the same type."""
    args: list[Any] | None = None
    """Its arguments, where they are plain data."""
    causes: list[str] = []
    """What led to it, one line each, nearest first."""


class PerdureError(Exception):
    """What went wrong, what it means for the message, and what to do about it.

    Args:
        message (str): What happened; it names the value with `!r`.
        hint (str | None): What the reader can do.
        retryable (bool | None): Overrides the class's own.
        retry_at (Moment | None): Not before this moment.
        scope (Scope | None): What has to pause; overrides the class's own.
        billed (Billed | None): Overrides the class's own.
        evidence (Evidence | None): What the judgement rests on.
    """

    code: ClassVar[str] = "internal-error"
    category: ClassVar[Category] = Category.INTERNAL
    default_retryable: ClassVar[bool] = False
    default_scope: ClassVar[Scope] = Scope.REQUEST
    default_billed: ClassVar[Billed] = Billed.NO

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retryable: bool | None = None,
        retry_at: Moment | None = None,
        scope: Scope | None = None,
        billed: Billed | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable: bool = self.default_retryable if retryable is None else retryable
        self.retry_at = retry_at
        self.scope: Scope = scope or self.default_scope
        self.billed: Billed = billed or self.default_billed
        self.evidence: Evidence = evidence or Evidence()

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep every attribute through pickle and copy, whatever the subclass's own signature.

        Returns:
            tuple[Any, ...]: As `object.__reduce__` asks.
        """
        return (_rebuild, (type(self), self.args, self.__dict__))

    def facts(self) -> ErrorFacts:
        """Say the same as plain data.

        Returns:
            ErrorFacts: Without the chain of causes, which `errors.report.facts_of` adds.
        """
        return ErrorFacts(
            code=self.code,
            category=self.category,
            message=self.message,
            hint=self.hint,
            retryable=self.retryable,
            retry_at=self.retry_at,
            scope=self.scope,
            billed=self.billed,
            evidence=self.evidence,
        )


def _rebuild(kind: type[PerdureError], args: tuple[Any, ...], state: dict[str, Any]) -> PerdureError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


# What the caller asked for -------------------------------------------------------------------------


class InputError(PerdureError):
    """The caller asked for something that cannot be."""

    code = "input-error"
    category = Category.INPUT


class InvalidInput(InputError):
    """Malformed, of the wrong shape, or out of range.

    Args:
        message (str): What is wrong.
        problems (list[str] | None): One line for each thing that is wrong, with its path.
        **more (Any): As for `PerdureError`.
    """

    code = "invalid-input"

    def __init__(self, message: str, *, problems: list[str] | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.problems: list[str] = problems or []


class Malformed(InvalidInput):
    """It is not JSON, or JSON that nobody should read: too deep, with half a character in it."""

    code = "malformed"


class InputTooLarge(InvalidInput):
    """More bytes, items or depth than the limit allows."""

    code = "input-too-large"


class WrongMediaType(InputError):
    """The body is of another kind than we read."""

    code = "wrong-media-type"


class WrongMethod(InputError):
    """The door is there, but not for this verb."""

    code = "wrong-method"


class NotYetBuilt(InputError):
    """Known and planned, but not here yet: refused by name, never accepted and ignored."""

    code = "not-yet-built"


class NotFound(InputError):
    """There is no such thing, or it is not yours to see."""

    code = "not-found"


class UnknownAgent(NotFound):
    """No worker has ever registered an agent of that name."""

    code = "unknown-agent"


class UnknownModel(NotFound):
    """No provider row or alias has that name."""

    code = "unknown-model"


class Conflict(InputError):
    """It is not in a state in which this can be done."""

    code = "conflict"


class DedupConflict(Conflict):
    """The same idempotency key came with another body."""

    code = "dedup-conflict"


class CallUnderWay(Conflict):
    """Another server makes the call with this key, and is not done yet."""

    code = "call-under-way"
    default_retryable = True


class Unauthenticated(InputError):
    """There is no key, or it is not a good one."""

    code = "unauthenticated"
    category = Category.AUTH


class RunEnded(InputError):
    """The address was a run's, and the run has ended, or waits without a worker."""

    code = "run-ended"


class Forbidden(InputError):
    """The key is good, but may not do this."""

    code = "forbidden"
    category = Category.PERMISSION


class SyncCallInAsync(InputError):
    """A blocking call was made on the thread of a running event loop."""

    code = "sync-call-in-async"


class ConfigError(PerdureError):
    """The settings cannot be used."""

    code = "config-invalid"
    category = Category.CONFIG


class ServerUnreachable(PerdureError):
    """A client got no answer from the Perdure server."""

    code = "server-unreachable"
    category = Category.NETWORK
    default_retryable = True


# Who answers prompts -------------------------------------------------------------------------------


class ProviderError(PerdureError):
    """Whoever answers prompts did not answer."""

    code = "provider-failed"
    category = Category.SERVER
    default_retryable = True
    answer: dict[str, Any] | None = None
    """The completion that came all the same: filtered, declined, broken off for want of room, or with nothing in it."""


class AccountError(ProviderError):
    """A person must act on the account; the lane pauses, the message waits."""

    code = "provider-account"
    category = Category.AUTH
    default_scope = Scope.KEY


class AuthenticationFailed(AccountError):
    """The provider does not take the key."""

    code = "provider-auth"
    category = Category.AUTH


class PermissionRefused(AccountError):
    """The key is good, but may not use this model or feature."""

    code = "provider-permission"
    category = Category.PERMISSION


class BillingRefused(AccountError):
    """Out of credit, over a spending limit, or not paid."""

    code = "provider-billing"
    category = Category.BILLING
    default_scope = Scope.ACCOUNT


class RateLimited(ProviderError):
    """The provider asked us to slow down; the message waits and no attempt is used."""

    code = "provider-rate-limited"
    category = Category.RATE_LIMIT
    default_scope = Scope.MODEL


class LaneFull(RateLimited):
    """A limit of our own on the lane lets no more calls start before `retry_at`."""

    code = "lane-full"


class LaneBudgetSpent(RateLimited):
    """The lane's money is spent until `retry_at`, when the next day or month begins."""

    code = "lane-budget-spent"


class CallTooDear(ProviderError):
    """One call could cost more than a whole budget: its lane's, or one of the installation, its tenant or its key."""

    code = "call-too-dear"
    category = Category.LIMIT
    default_retryable = False


class CircuitOpen(ProviderError):
    """The lane failed too often just now; the message waits and no attempt is used."""

    code = "provider-circuit-open"
    category = Category.CIRCUIT_OPEN
    default_scope = Scope.MODEL


class Overloaded(ProviderError):
    """The provider has no capacity at the moment."""

    code = "provider-overloaded"
    category = Category.OVERLOADED
    default_scope = Scope.MODEL


class ServerFailed(ProviderError):
    """The provider failed inside, or its answer was no answer."""

    code = "provider-server"
    category = Category.SERVER
    default_scope = Scope.ENDPOINT


class ProviderTimeout(ProviderError):
    """No complete answer within the time allowed."""

    code = "provider-timeout"
    category = Category.TIMEOUT
    default_scope = Scope.ENDPOINT
    default_billed = Billed.MAYBE


class NetworkFailed(ProviderError):
    """The connection could not be made, or broke."""

    code = "provider-network"
    category = Category.NETWORK
    default_scope = Scope.ENDPOINT


class StreamCut(ProviderError):
    """The stream ended before its end."""

    code = "provider-stream-cut"
    category = Category.STREAM_CUT
    default_scope = Scope.ENDPOINT
    default_billed = Billed.PARTIAL


class EmptyAnswer(ProviderError):
    """An answer without content, tool call or reasoning."""

    code = "provider-empty-answer"
    category = Category.EMPTY
    default_billed = Billed.YES


class ContextTooLong(ProviderError):
    """The prompt does not fit the model's context."""

    code = "provider-context-length"
    category = Category.CONTEXT_LENGTH
    default_retryable = False


class ContentFiltered(ProviderError):
    """The provider's content filter stopped input or output; the same again changes nothing."""

    code = "provider-content-filter"
    category = Category.CONTENT_FILTER
    default_retryable = False


class Refused(ProviderError):
    """The model declined."""

    code = "provider-refusal"
    category = Category.REFUSAL
    default_retryable = False
    default_billed = Billed.YES


class InvalidOutput(ProviderError):
    """The model's output does not have the shape asked for, after being asked again."""

    code = "provider-invalid-output"
    category = Category.INVALID_OUTPUT
    default_retryable = False
    default_billed = Billed.YES


class InvalidRequest(ProviderError):
    """The provider does not understand the request; the same again changes nothing."""

    code = "provider-invalid-request"
    category = Category.INVALID_REQUEST
    default_retryable = False


class ModelNotFound(InvalidRequest):
    """The provider does not have the model."""

    code = "provider-model-not-found"
    category = Category.MODEL_NOT_FOUND


# The work on one message ---------------------------------------------------------------------------


class RunError(PerdureError):
    """The work on one message went wrong."""

    code = "run-failed"
    category = Category.AGENT


class AgentFailed(RunError):
    """The agent's own code raised."""

    code = "agent-failed"
    default_retryable = True


class ToolFailed(RunError):
    """A tool or step raised; this stands for an exception that cannot be made again on replay."""

    code = "tool-failed"
    category = Category.TOOL
    default_retryable = True


class InvalidResult(RunError):
    """The agent returned something that its hints do not allow."""

    code = "invalid-result"


class RunTimeout(RunError):
    """The attempt took longer than the message allows."""

    code = "run-timeout"
    category = Category.TIMEOUT
    default_retryable = True


class RunLimit(RunError):
    """A run reached its own limit.

    Args:
        what (str): `steps`, `tokens`, `time` or `cost`.
        message (str): How much there was and how much is allowed.
        **more (Any): As for `PerdureError`.
    """

    code = "limit-reached"
    category = Category.LIMIT

    def __init__(self, what: str, message: str, **more: Any) -> None:
        super().__init__(message, **more)
        self.what = what

    def facts(self) -> ErrorFacts:
        """Say the same as plain data, under the limit's own code.

        Returns:
            ErrorFacts: With `code` `limit-steps`, `limit-tokens`, `limit-time` or `limit-cost`.
        """
        return msgspec.structs.replace(super().facts(), code=f"limit-{self.what}")


class PriceUnknown(RunError):
    """A run has a limit of cost and would ask a model whose price nobody knows; permanent, and nothing was asked."""

    code = "price-unknown"
    category = Category.CONFIG


class DeadlinePassed(RunError):
    """The message's deadline passed before it was done."""

    code = "deadline-passed"
    category = Category.DEADLINE


class WaitedTooLong(RunError):
    """The message waited longer than `max_wait_s` for something without a stated end."""

    code = "waited-too-long"
    category = Category.DEADLINE


class Poison(RunError):
    """The message took its process down three times without getting any further."""

    code = "poison"
    category = Category.POISON


class WaitTimedOut(RunError):
    """A signal or the end of a child did not come within the time that the agent gave it."""

    code = "wait-timed-out"
    category = Category.TIMEOUT


class ChildFailed(RunError):
    """A message that the run had sent is dead."""

    code = "child-failed"


class ChildCancelled(ChildFailed):
    """A message that the run had sent was cancelled."""

    code = "child-cancelled"


class OutcomeUnknown(RunError):
    """A call that is not idempotent was under way when its worker or connection was lost."""

    code = "outcome-unknown"
    category = Category.OUTCOME_UNKNOWN


# Leases and stores ---------------------------------------------------------------------------------


class LeaseError(PerdureError):
    """This worker may no longer write."""

    code = "lease-error"
    category = Category.LEASE_LOST


class LeaseLost(LeaseError):
    """The message is no longer this worker's; whatever it still writes is refused."""

    code = "lease-lost"


class RunCancelled(LeaseError):
    """Somebody called the message off: what is under way may end, nothing new is begun."""

    code = "run-cancelled"


class WorkerFenced(LeaseError):
    """The worker was declared dead; it must stop."""

    code = "worker-fenced"


class TurnedAway(PerdureError):
    """A limit of our own lets nothing through at the moment; nothing was done."""

    code = "turned-away"
    category = Category.OVERLOADED
    default_retryable = True


class BulkheadFull(TurnedAway):
    """So many are at it that there is no room for one more, not even to wait."""

    code = "bulkhead-full"


class CircuitRefused(TurnedAway):
    """What was to be called failed too often just now; nothing was called.

    Args:
        message (str): What happened.
        wait_s (float): After so long it pays to try again.
        **more (Any): As for `PerdureError`.
    """

    code = "circuit-refused"
    category = Category.CIRCUIT_OPEN

    def __init__(self, message: str, *, wait_s: float = 0.0, **more: Any) -> None:
        super().__init__(message, **more)
        self.wait_s: float = wait_s


class BudgetReached(TurnedAway):
    """There is no money left in a budget before `retry_at`; no attempt is used, and nothing was asked."""

    code = "budget-reached"
    category = Category.BUDGET


class StoreError(PerdureError):
    """Where things are kept did not answer."""

    code = "store-failed"
    category = Category.STORAGE
    default_retryable = True


class StoreBusy(StoreError):
    """The database stayed locked longer than we wait."""

    code = "store-busy"


class StoreFull(StoreError):
    """There is no room on the disk."""

    code = "store-full"


class StoreUnsuitable(StoreError):
    """This place cannot hold a store: a network file system, a newer schema, a damaged file."""

    code = "store-unsuitable"
    default_retryable = False


class StoreClosed(StoreError):
    """The store is closed."""

    code = "store-closed"
