"""What `/api/v1` says of messages and runs, made of what the store knows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw

from perdure.agents.journal import FailedTry, Step
from perdure.clock import Moment, iso
from perdure.errors.base import ErrorFacts
from perdure.messages import groups, ids
from perdure.messages.message import Attempt, View, Wait
from perdure.messages.terms import max_cost_of, own, put_by
from perdure.resources.usage import Usage
from perdure.security.secrets import redact

Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

__all__ = ["AttemptJson", "DeadLetterJson", "ErrorJson", "FailedTryJson", "MessageJson", "StepJson", "Time", "UsageJson", "WaitJson"]


class ErrorJson(msgspec.Struct, kw_only=True):
    """What went wrong, and what follows from it."""

    code: str
    category: str
    message: str
    hint: str | None
    retryable: bool
    retry_at: Time | None
    scope: str
    billed: str
    evidence: dict[str, Any]
    causes: list[str]

    @classmethod
    def of(cls, error: ErrorFacts | None) -> ErrorJson | None:
        """Write an error, without secrets.

        Args:
            error (ErrorFacts | None): As the store keeps it.

        Returns:
            ErrorJson | None: For the wire; None for None.
        """
        if error is None:
            return None
        return cls(
            code=error.code,
            category=error.category.value,
            message=redact(error.message),
            hint=error.hint and redact(error.hint),
            retryable=error.retryable,
            retry_at=iso(error.retry_at),
            scope=error.scope.value,
            billed=error.billed.value,
            evidence={name: redact(said) if isinstance(said, str) else said for name, said in msgspec.to_builtins(error.evidence).items()},
            causes=[redact(cause) for cause in error.causes],
        )


class UsageJson(msgspec.Struct, kw_only=True):
    """What was used; null is unknown, never zero."""

    calls: int
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    paid_again: int
    cost_usd: float | None
    unpriced: int
    """Calls whose cost is not known."""
    reckoned_usd: float
    """What those were reckoned to cost before they were made."""
    hedged: int

    @classmethod
    def of(cls, usage: Usage | None) -> UsageJson | None:
        """Write a usage.

        Args:
            usage (Usage | None): As the store keeps it.

        Returns:
            UsageJson | None: For the wire; None for None.
        """
        return None if usage is None else cls(**{name: getattr(usage, name) for name in cls.__struct_fields__})


class WaitJson(msgspec.Struct, kw_only=True):
    """Why a message does not run now, and what ends that."""

    why: str
    until: Time | None
    step: int | None
    open_ended: bool
    events: list[str]
    """Any of these ends it: `signal:NAME`, `children:STEP`, `group:ID`."""
    error: ErrorJson | None

    @classmethod
    def of(cls, wait: Wait | None) -> WaitJson | None:
        """Write a wait.

        Args:
            wait (Wait | None): As the store keeps it.

        Returns:
            WaitJson | None: For the wire; None for None.
        """
        if wait is None:
            return None
        return cls(
            why=wait.why,
            until=iso(wait.until),
            step=wait.step,
            open_ended=wait.open_ended,
            events=list(wait.events),
            error=ErrorJson.of(wait.error),
        )


class MessageJson(msgspec.Struct, kw_only=True):
    """A message, and where it is now."""

    object: Literal["message"] = "message"
    id: str
    agent: str
    queue: str
    tenant: str
    priority: int
    state: str
    blocked_by: str | None
    cancelling: bool
    attempt: int
    attempts: int
    crashes: int
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    deadline: Time | None
    timeout_s: float | None
    max_wait_s: float
    wait: WaitJson | None
    body: Raw
    result: Raw
    error: ErrorJson | None
    usage: UsageJson | None
    metadata: dict[str, str]
    put_by: str | None
    """The id of the key that put it."""
    max_cost_usd: float | None
    dedup_key: str | None
    version: str | None
    lane: str | None
    parent: str | None
    group: str | None
    session: str | None
    on_dead: str
    key: str | None
    cost: int
    held_by: str | None
    position: int | None
    code_version: str | None
    revived: int
    replayed: UsageJson | None
    forked_from: str | None
    forked_step: int | None
    imported: bool

    @classmethod
    def of(cls, view: View, **more: Any) -> Any:
        """Write a message.

        Args:
            view (View): As the store sees it.
            **more (Any): Fields of a class below this one.

        Returns:
            Any: An object of this class.
        """
        message = view.message
        return cls(
            id=ids.write(message.id),
            agent=message.agent,
            queue=message.queue,
            tenant=message.tenant,
            priority=message.priority,
            state=view.state.value,
            blocked_by=view.blocked_by,
            cancelling=view.cancelling,
            attempt=view.attempt,
            attempts=message.attempts,
            crashes=view.crashes,
            created_at=_time(message.created_at),
            started_at=iso(view.started_at),
            ended_at=iso(view.ended_at),
            deadline=iso(message.deadline),
            timeout_s=message.timeout_s,
            max_wait_s=message.max_wait_s,
            wait=WaitJson.of(view.wait),
            body=Raw(message.body),
            result=_raw(view.result),
            error=ErrorJson.of(view.error),
            usage=UsageJson.of(view.usage),
            metadata=own(message.metadata),
            put_by=put_by(message.metadata),
            max_cost_usd=max_cost_of(message.metadata),
            dedup_key=message.dedup_key,
            version=message.version,
            lane=message.lane,
            parent=None if message.parent is None else ids.write(message.parent),
            group=None if message.group is None else groups.write(message.group),
            session=message.session,
            on_dead=message.on_dead,
            key=message.key,
            cost=message.cost,
            held_by=view.held_by,
            position=view.position,
            code_version=view.code_version,
            revived=view.revived,
            replayed=UsageJson.of(view.replayed),
            forked_from=None if view.forked_from is None else ids.write(view.forked_from),
            forked_step=view.forked_step,
            imported=view.imported,
            **more,
        )


class AttemptJson(msgspec.Struct, kw_only=True):
    """One attempt that failed, or one crash."""

    object: Literal["attempt"] = "attempt"
    n: int
    kind: str
    at: Time
    error: ErrorJson

    @classmethod
    def of(cls, attempt: Attempt) -> AttemptJson:
        """Write an attempt.

        Args:
            attempt (Attempt): As the store keeps it.

        Returns:
            AttemptJson: For the wire.
        """
        error = ErrorJson.of(attempt.error)
        assert error is not None
        return cls(n=attempt.n, kind=attempt.kind, at=_time(attempt.at), error=error)


class DeadLetterJson(MessageJson, kw_only=True):
    """A dead letter: the message, and everything that went wrong with it."""

    attempts_log: list[AttemptJson]


class FailedTryJson(msgspec.Struct, kw_only=True):
    """A try of a step that got no answer."""

    at: Time
    lane: str | None
    error: ErrorJson

    @classmethod
    def of(cls, one: FailedTry) -> FailedTryJson:
        """Write a try.

        Args:
            one (FailedTry): As the journal keeps it.

        Returns:
            FailedTryJson: For the wire.
        """
        error = ErrorJson.of(one.error)
        assert error is not None
        return cls(at=_time(one.at), lane=one.lane, error=error)


class StepJson(msgspec.Struct, kw_only=True):
    """One step of a run."""

    object: Literal["step"] = "step"
    number: int
    kind: str
    scope: str
    name: str
    n: int
    state: str
    attempt: int
    tries: int
    ambiguous: int
    began_at: Time
    ended_at: Time | None
    until: Time | None
    idempotent: bool
    diverged: bool
    tool_version: str | None
    request: Raw
    result: Raw
    error: ErrorJson | None
    usage: UsageJson | None
    lane: str | None
    """For a call of a model: where its last try went, as `provider/model`; of a recorded one, who answered."""
    failed_tries: list[FailedTryJson]
    """Tries before that one that got no answer, the earliest first; the latest 20."""
    decided_by: str | None
    copied: bool
    """Taken over by a fork or an import; what it used is not this run's."""

    @classmethod
    def of(cls, step: Step) -> StepJson:
        """Write a step.

        Args:
            step (Step): As the journal keeps it.

        Returns:
            StepJson: For the wire.
        """
        return cls(
            number=step.number,
            kind=step.key.kind.value,
            scope=step.key.scope,
            name=step.key.name,
            n=step.key.n,
            state=step.state.value,
            attempt=step.attempt,
            tries=step.tries,
            ambiguous=step.ambiguous,
            began_at=_time(step.began_at),
            ended_at=iso(step.ended_at),
            until=iso(step.until),
            idempotent=step.idempotent,
            diverged=step.diverged,
            tool_version=step.tool_version,
            request=_raw(step.request),
            result=_raw(step.result),
            error=ErrorJson.of(step.error),
            usage=UsageJson.of(step.usage),
            lane=step.lane,
            failed_tries=[FailedTryJson.of(one) for one in step.failed_tries],
            decided_by=step.decided_by,
            copied=step.origin is not None,
        )


def _time(moment: Moment) -> str:
    written = iso(moment)
    assert written is not None
    return written


def _raw(json: bytes | None) -> Raw:
    return Raw(b"null" if json is None else json)
