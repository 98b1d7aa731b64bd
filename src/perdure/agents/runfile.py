"""The shape of a run as a file, `perdure.run/1`: each field, and how large it may be. What a part does not know it refuses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from perdure.agents.journal import FORMAT, MOST_FAILED_TRIES, StepKind, StepState
from perdure.errors.base import ErrorFacts
from perdure.messages.message import DEFAULT_MAX_WAIT_S, State
from perdure.resources.usage import Usage

NAME: Literal["perdure.run/1"] = "perdure.run/1"

__all__ = ["NAME", "AskedPart", "AttemptPart", "FailedTryPart", "MessagePart", "Origin", "RunFile", "SaidPart", "StatePart", "StepPart"]

_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.:\-]*$(?!\n)"
_MOST_STEPS, _MOST_SAID, _MOST_ATTEMPTS = 100_000, 200_000, 10_000
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128, pattern=_NAME)]
Text: TypeAlias = Annotated[str, Meta(max_length=4000)]
Label: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=10**9)]
Place: TypeAlias = Annotated[int, Meta(ge=-1, lt=_MOST_SAID)]
When: TypeAlias = Annotated[datetime, Meta(tz=True)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=10 * 365 * 24 * 3600)]


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a run comes from."""

    message: Text
    tenant: Text
    created_at: When


class MessagePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message, as it was put."""

    agent: Name
    body: Any
    queue: Name = "default"
    priority: Annotated[int, Meta(ge=0, le=9)] = 5
    attempts: Annotated[int, Meta(ge=1, le=100)] = 5
    timeout_s: Seconds | None = None
    max_wait_s: Seconds = DEFAULT_MAX_WAIT_S
    version: Label | None = None
    lane: Label | None = None
    metadata: Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] = {}


class StatePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it was when it was written."""

    state: State
    attempt: Count = 0
    started_at: When | None = None
    ended_at: When | None = None
    waits_for_step: Count | None = None
    """Whose outcome only a person can tell."""
    code_version: Label | None = None
    usage: Usage | None = None
    error: ErrorFacts | None = None
    result: Any = None


class AttemptPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What went wrong once."""

    n: Count
    kind: Literal["retry", "bury", "crash"]
    at: When
    error: ErrorFacts


class SaidPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message of a conversation."""

    after: Place
    """Place in the list of the one before; -1 for the first."""
    message: Any


class AskedPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model was asked."""

    head: dict[str, Any]
    """The request with an empty list of messages."""
    last: Annotated[int, Meta(ge=0, lt=_MOST_SAID)]


class FailedTryPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A try of a step that got no answer."""

    at: When
    lane: Text | None = None
    error: ErrorFacts


class StepPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step as recorded."""

    number: Annotated[int, Meta(ge=1, le=10**9)]
    kind: StepKind
    scope: Text = ""
    name: Label
    fingerprint: Annotated[str, Meta(pattern=r"^[0-9a-f]{1,64}$(?!\n)")]
    n: Count
    state: StepState
    attempt: Count
    tries: Count = 1
    ambiguous: Count = 0
    began_at: When
    ended_at: When | None = None
    until: When | None = None
    idempotent: bool = False
    diverged: bool = False
    tool_version: Text | None = None
    decided_by: Text | None = None
    format: Annotated[int, Meta(ge=1, le=FORMAT)] = 1
    asked: AskedPart | None = None
    request: Any = msgspec.UNSET
    result: Any = msgspec.UNSET
    error: ErrorFacts | None = None
    usage: Usage | None = None
    lane: Text | None = None
    failed_tries: Annotated[list[FailedTryPart], Meta(max_length=MOST_FAILED_TRIES)] = []


class RunFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run that can be carried elsewhere."""

    format: Literal["perdure.run/1"]
    origin: Origin
    message: MessagePart
    run: StatePart
    attempts: Annotated[list[AttemptPart], Meta(max_length=_MOST_ATTEMPTS)] = []
    said: Annotated[list[SaidPart], Meta(max_length=_MOST_SAID)] = []
    steps: Annotated[list[StepPart], Meta(max_length=_MOST_STEPS)] = []
