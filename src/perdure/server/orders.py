"""What operators may say: edits, filters, paces, schedules, pauses. Like `asks.py`, check and documentation at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from perdure.messages.message import NORMAL
from perdure.server.asks import Attempts, Cursor, Limit, Metadata, Name, When

_PRINTABLE = r"^[ -~]+$(?!\n)"
_LINE = r"^[^\x00-\x1f\x7f]+$(?!\n)"
_YEARS_S = 10 * 365 * 24 * 3600

Why: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500, pattern=_LINE, description="What to tell whoever asks.")]
Version: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128, pattern=_PRINTABLE, description="Only this code; null is any.")]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=_YEARS_S)]
Priority: TypeAlias = Annotated[int, Meta(ge=0, le=9, description="0 is the most urgent.")]
Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, pattern=_LINE)]
PerS: TypeAlias = Annotated[float, Meta(gt=0, le=100_000, description="So many in a second; null is as fast as it goes.")]
AtMost: TypeAlias = Annotated[int, Meta(ge=1, le=10_000, description="At most so many now; `next_cursor` says where to go on.")]
DryRun: TypeAlias = Annotated[bool, Meta(description="Only count those that fit, and show some.")]

__all__ = [
    "AuditQuery",
    "CancelMany",
    "DiscardMany",
    "EditLetter",
    "EditMany",
    "LettersWanted",
    "MessagesWanted",
    "PauseAsk",
    "PutSchedule",
    "ReviveMany",
    "ScheduleQuery",
    "SchedulesQuery",
    "SetBudget",
    "SetLimit",
    "UsageQuery",
    "Why",
]


class PauseAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Why something is paused."""

    why: Why | None = None


class SetLimit(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How many may be ready or running at once."""

    at_once: Annotated[int, Meta(ge=1, le=1_000_000)]


class SetBudget(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How much may be spent in a day (UTC); null is as much as it takes."""

    daily_usd: Annotated[float, Meta(ge=0, le=1_000_000_000)] | None


class UsageQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of which days (UTC), both included, and summed by what. Without them: today."""

    by: Literal["day", "lane", "agent", "tenant", "key"] = "lane"
    since: Annotated[str, Meta(min_length=10, max_length=10, description="The first day, such as 2026-11-30.")] | None = None
    until: Annotated[str, Meta(min_length=10, max_length=10, description="The last day.")] | None = None


class _Changes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    priority: Priority | UnsetType = UNSET
    attempts: Attempts | UnsetType = UNSET
    timeout_s: Annotated[float, Meta(gt=0, le=7 * 24 * 3600)] | UnsetType | None = UNSET
    deadline: When | UnsetType | None = UNSET
    max_wait_s: Seconds | UnsetType = UNSET
    version: Version | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET


class EditLetter(_Changes, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be different about a dead letter; what is not said stays. `body` is checked as in a put."""

    body: Any | UnsetType = UNSET


class EditMany(_Changes, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be different about many dead letters. `body_patch` is merged into each body (RFC 7396), then checked."""

    filter: LettersWanted
    body_patch: dict[str, Any] | UnsetType = UNSET
    per_s: PerS | None = None
    dry_run: DryRun = False
    limit: AtMost = 1000
    cursor: Cursor | None = None


class LettersWanted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which dead letters; `{}` is all that the key sees."""

    tenant: Name | None = None
    queue: Name | None = None
    agent: Name | None = None
    code: Name | None = None
    died_after: When | None = None
    died_before: When | None = None
    text: Annotated[Text, Meta(description="In the error's message or the body, in upper or lower case.")] | None = None
    pattern: Annotated[Name, Meta(description="`pat_…` of `/api/v1/errors`; for operators.")] | None = None


class ReviveMany(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which dead letters are to live again, and how fast."""

    filter: LettersWanted
    per_s: Annotated[float, Meta(gt=0, le=100_000, description="So many become due in a second; null is all at once.")] | None = None
    dry_run: DryRun = False
    limit: AtMost = 1000
    cursor: Cursor | None = None


class DiscardMany(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which dead letters are to be forgotten, and how fast."""

    filter: LettersWanted
    per_s: PerS | None = None
    dry_run: DryRun = False
    limit: AtMost = 1000
    cursor: Cursor | None = None


class MessagesWanted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which messages; `{}` is all in this state that the key sees."""

    state: Literal["ready", "later", "held", "waiting"]
    queue: Name | None = None
    agent: Name | None = None


class CancelMany(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which messages that do not run are to be called off."""

    filter: MessagesWanted
    dry_run: DryRun = False
    limit: AtMost = 1000
    cursor: Cursor | None = None


class PutSchedule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is put again and again, and when."""

    name: Name | None = None
    """May be left out where the address says it."""
    cron: Annotated[str, Meta(min_length=1, max_length=200, pattern=_PRINTABLE, description="Five fields, or `@hourly` to `@yearly`.")]
    timezone: Annotated[str, Meta(min_length=1, max_length=64, pattern=_PRINTABLE, description="Such as `Europe/Berlin`.")] = "UTC"
    misfire: Annotated[
        Literal["skip", "once", "all"], Meta(description="What becomes of moments that passed while nobody looked: nothing, one, or each.")
    ] = "once"
    overlap: Annotated[Literal["allow", "skip"], Meta(description="`skip`: not while the message before goes on.")] = "allow"
    agent: Name
    body: Any
    queue: Name | None = None
    priority: Priority = NORMAL
    attempts: Attempts | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=7 * 24 * 3600)] | None = None
    max_wait_s: Seconds | None = None
    version: Version | None = None
    metadata: Metadata = {}
    tenant: Name | None = None


class SchedulesQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whose schedules; an operator sees all."""

    tenant: Name | None = None


class ScheduleQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whose schedule, for operators; and how many of its next moments to show."""

    tenant: Name | None = None
    next: Annotated[int, Meta(ge=0, le=100)] = 5


class AuditQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which rows of the audit log."""

    who: Annotated[str, Meta(min_length=1, max_length=128, pattern=_LINE)] | None = None
    action: Name | None = None
    target: Annotated[str, Meta(min_length=1, max_length=255, pattern=_LINE)] | None = None
    after: When | None = None
    before: When | None = None
    limit: Limit = 50
    cursor: Cursor | None = None
