"""What the server answers, as it stands on the wire: JSON objects with known names.

Plain dictionaries at run time, so a newer server may say more than is written here.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

__all__ = [
    "AgentJson",
    "AttemptJson",
    "BiteJson",
    "ChangeJson",
    "ChangesJson",
    "CheckupJson",
    "CorrelationJson",
    "DeadLetterJson",
    "DeedJson",
    "DeedsPage",
    "EditedJson",
    "ErrorJson",
    "FailedTryJson",
    "GroupJson",
    "KeyJson",
    "LaneJson",
    "LaneLimitsJson",
    "MemberJson",
    "MembersPage",
    "MessageJson",
    "MessagesPage",
    "NewKeyJson",
    "PatternJson",
    "PauseJson",
    "ProviderHealthJson",
    "ProviderJson",
    "QueueJson",
    "RecoveryJson",
    "ReportJson",
    "ScheduleJson",
    "StepBrief",
    "StepJson",
    "UsageJson",
    "WaitJson",
    "WorkerJson",
]


class ErrorJson(TypedDict):
    """What went wrong and what it means."""

    code: str
    category: str
    message: str
    hint: str | None
    retryable: bool
    retry_at: str | None
    scope: str
    billed: str
    evidence: dict[str, Any]
    causes: list[str]


class UsageJson(TypedDict):
    """What was used; None where the provider did not count."""

    calls: int
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    paid_again: int
    cost_usd: float | None
    unpriced: int
    reckoned_usd: float
    hedged: int


class WaitJson(TypedDict):
    """Why a message does not run now."""

    why: str
    until: str | None
    step: int | None
    open_ended: bool
    events: list[str]
    error: ErrorJson | None


class MessageJson(TypedDict):
    """A message and where it is now."""

    object: Literal["message"]
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
    created_at: str
    started_at: str | None
    ended_at: str | None
    deadline: str | None
    timeout_s: float | None
    max_wait_s: float
    wait: WaitJson | None
    body: Any
    result: Any
    error: ErrorJson | None
    usage: UsageJson | None
    metadata: dict[str, str]
    put_by: str | None
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


class GroupJson(TypedDict):
    """How far a group of messages has come."""

    object: Literal["group"]
    id: str
    tenant: str
    name: str
    open: bool
    total: int
    left: int
    done: int
    dead: int
    cancelled: int
    then: str | None
    created_at: str
    ended_at: str | None


class MemberJson(TypedDict):
    """One message of a group, and what became of it."""

    object: Literal["member"]
    id: str
    state: str
    result: Any
    error: ErrorJson | None


class MembersPage(TypedDict):
    """Some of a group's messages, in the order of putting."""

    object: Literal["list"]
    data: list[MemberJson]
    next_cursor: str | None


class LimitJson(TypedDict):
    """How many may run at once, and how many do."""

    object: Literal["limit"]
    scope: str
    name: str
    at_once: int
    used: int
    held: int


class BudgetJson(TypedDict):
    """How much may be spent in a day, and how much is."""

    object: Literal["budget"]
    scope: str
    name: str
    daily_usd: float | None
    spent_usd: float
    unseen: bool
    """As answered to whoever sets it: a tenant of that name has neither a key nor spent anything today."""


class SpentJson(TypedDict):
    """What was used under one name, and what it cost."""

    object: Literal["spent"]
    name: str
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: float
    unpriced: int
    held_usd: float
    saved_calls: int
    saved_usd: float


class LaneLimitsJson(TypedDict):
    """What a lane may take; None is no limit."""

    rpm: float | None
    tpm: float | None
    rps: float | None
    at_once: int | None
    usd_per_day: float | None
    usd_per_month: float | None


class LaneJson(TypedDict):
    """A provider's lane that has limits, or was down, and what of it is taken."""

    object: Literal["lane"]
    name: str
    limits: LaneLimitsJson
    requests: int
    """Of the last minute."""
    tokens: int
    """Of the last minute: used, or reserved where it is not known yet."""
    usd_today: float
    usd_this_month: float
    at_once: int
    waiting: int
    workers: int
    next_at: str | None
    down: bool
    closed_until: str | None
    closed_why: str | None


class MessagesPage(TypedDict):
    """Some messages, those put last first."""

    object: Literal["list"]
    data: list[MessageJson]
    next_cursor: str | None


class AttemptJson(TypedDict):
    """One failed attempt or crash."""

    object: Literal["attempt"]
    n: int
    kind: str
    at: str
    error: ErrorJson


class DeadLetterJson(MessageJson):
    """A dead letter with what every attempt ended with."""

    attempts_log: list[AttemptJson]


class FailedTryJson(TypedDict):
    """A try of a step that got no answer."""

    at: str
    lane: str | None
    error: ErrorJson


class CorrelationJson(TypedDict):
    """With what an error comes together."""

    what: str
    value: str
    count: int
    share: float
    usual: float


class PatternJson(TypedDict):
    """Errors from one place whose messages have one template."""

    object: Literal["pattern"]
    id: str
    code: str
    category: str
    where: str
    agent: str | None
    provider: str | None
    tool: str | None
    tool_version: str | None
    frame: str | None
    unmapped: bool
    """Answers of a provider that no rule knew: `sample` is one, and `hint` says how to write a rule."""
    template: str
    sample: str
    hint: str | None
    count: int
    first_at: str
    last_at: str
    last_day: int
    day_before: int
    trend: str
    spike: bool
    hours: list[int]
    correlations: list[CorrelationJson]


class RecoveryJson(TypedDict):
    """What an error does to a message."""

    then: str
    until: str | None
    uses_attempt: bool
    closes: str | None
    counts_in_circuit: bool
    words: str


class StepBrief(TypedDict):
    """A step without what was asked and answered."""

    number: int
    kind: str
    name: str
    state: str
    tries: int
    tool_version: str | None
    began_at: str
    ended_at: str | None
    error: ErrorJson | None


class ReportJson(TypedDict):
    """All about why one message died."""

    object: Literal["report"]
    id: str
    agent: str
    queue: str
    code_version: str | None
    error: ErrorJson
    pattern: str | None
    attempts: list[AttemptJson]
    failed_step: StepBrief | None
    steps: list[StepBrief]
    next: RecoveryJson


class StepJson(TypedDict):
    """One step of a run."""

    object: Literal["step"]
    number: int
    kind: str
    scope: str
    name: str
    n: int
    state: str
    attempt: int
    tries: int
    ambiguous: int
    began_at: str
    ended_at: str | None
    until: str | None
    idempotent: bool
    diverged: bool
    tool_version: str | None
    request: Any
    result: Any
    error: ErrorJson | None
    usage: UsageJson | None
    lane: str | None
    failed_tries: list[FailedTryJson]
    decided_by: str | None
    copied: bool


class PauseJson(TypedDict):
    """Who stopped leasing, when, and why."""

    at: str
    who: str | None
    why: str | None


class BiteJson(TypedDict):
    """What was done to those that fit a filter."""

    object: Literal["bite"]
    dry_run: bool
    done: int
    refused: int
    problems: list[str]
    sample: list[str]
    due_at: str | None
    next_cursor: str | None


class EditedJson(TypedDict):
    """One edit of a message: what it was before."""

    object: Literal["edit"]
    at: str
    who: str | None
    before: dict[str, Any]
    body_before: Any


class DeedJson(TypedDict):
    """One row of the audit log."""

    object: Literal["deed"]
    id: int
    at: str
    who: str
    action: str
    target: str
    details: dict[str, Any]
    request_id: str | None


class DeedsPage(TypedDict):
    """Some rows of the audit log, newest first."""

    object: Literal["list"]
    data: list[DeedJson]
    next_cursor: str | None


class ScheduleJson(TypedDict):
    """A schedule, and when it fires."""

    object: Literal["schedule"]
    name: str
    tenant: str
    cron: str
    timezone: str
    misfire: str
    overlap: str
    paused: bool
    next_at: str | None
    upcoming: list[str]
    last_at: str | None
    last_id: str | None
    fired: int
    passed_over: int
    created_at: str
    message: dict[str, Any]


class QueueJson(TypedDict):
    """A queue in numbers."""

    object: Literal["queue"]
    name: str
    paused: bool
    counts: dict[str, int]
    totals: dict[str, int]
    oldest_ready_at: str | None
    pause: PauseJson | None


class KeyJson(TypedDict):
    """A key as kept: never the key itself."""

    object: Literal["key"]
    id: str
    name: str
    tenant: str
    scopes: list[str]
    last4: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class NewKeyJson(KeyJson):
    """A new key; `key` is told this once."""

    key: str


class AgentJson(TypedDict):
    """An agent as registered last."""

    object: Literal["agent"]
    name: str
    version: str
    queue: str
    lane: str | None
    description: str
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    attempts: int | None
    timeout_s: float | None


class WorkerJson(TypedDict):
    """A worker as others see it."""

    object: Literal["worker"]
    id: int
    host: str
    pid: int
    slots: int
    alive: bool
    quarantine: bool
    queues: list[str] | None
    agents: dict[str, str]
    """Name to code version."""
    leases: int
    started_at: str
    beat_at: str


class ProviderJson(TypedDict):
    """Who answers prompts."""

    object: Literal["provider"]
    name: str
    kind: str
    base_url: str | None
    dialect: str | None
    models: list[str]
    metrics: dict[str, Any] | None
    """What it did since the server started."""
    health: ProviderHealthJson | None
    """How workers found it when they looked; None where none has."""


class ProviderHealthJson(TypedDict):
    """How the looks on a schedule found a provider."""

    object: Literal["provider.health"]
    provider: str
    ok: bool | None
    """Whether it counts as one that can be used; None while nobody knows."""
    since: str | None
    failures: int
    looked_at: str | None
    found: CheckupJson | None


class CheckupJson(TypedDict):
    """Whether a provider can be used; None is not found out."""

    object: Literal["checkup"]
    provider: str
    ok: bool
    reachable: bool | None
    key_good: bool | None
    models_there: bool | None
    latency_s: float
    at: str
    error: ErrorJson | None


class ChangeJson(TypedDict):
    """One move of one message."""

    seq: int
    id: str
    queue: str
    agent: str
    state: str
    at: str


class ChangesJson(TypedDict):
    """Moves since a number, and the number to go on from."""

    object: Literal["list"]
    data: list[ChangeJson]
    last: int
