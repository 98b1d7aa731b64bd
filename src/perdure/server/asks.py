"""What callers of `/api/v1` may say: bodies and queries, field by field.

These types are the check, the documentation and the OpenAPI page at once. Unknown fields are refused,
fields of what is not built yet by name (`LATER`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from perdure.messages.message import NORMAL

# `$` in Python also stands before a last line feed; the look-ahead closes that gap and means nothing to other readers.
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.:\-]*$(?!\n)"
_PRINTABLE = r"^[ -~]+$(?!\n)"
_LINE = r"^[^\x00-\x1f\x7f]+$(?!\n)"
_TENANT = r"^(\*|[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127})$(?!\n)"
PATTERNS: Mapping[str, str] = {
    _NAME: "must be letters, digits and `_ . : -` only, and begin with a letter, digit or `_`",
    _PRINTABLE: "must be printable ASCII only",
    _LINE: "must be without control characters",
    _TENANT: "must be `*`, or letters, digits and `_ . : -` that begin with a letter, digit or `_`",
}
"""What each pattern asks for, in the words of whoever did not write it."""
_YEARS_S = 10 * 365 * 24 * 3600

Name: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=128, pattern=_NAME, description="Letters, digits and `_ . : -`; begins with a letter, digit or `_`.")
]
DedupKey: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=_PRINTABLE, description="Of a tenant: the same key and body brings the same id again.")
]
SessionName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=_LINE, description="Of a tenant: its messages run one at a time, in order.")
]
When: TypeAlias = Annotated[datetime, Meta(tz=True, description="RFC 3339 with a time zone.")]
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=1000, description="At most so many; fewer come where they are large.")]
Cursor: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500, pattern=_PRINTABLE, description="`next_cursor` of the page before.")]
WaitS: TypeAlias = Annotated[float, Meta(ge=0, le=60, description="Answer at the latest after so many seconds.")]
Attempts: TypeAlias = Annotated[int, Meta(ge=1, le=100)]
StateName: TypeAlias = Literal["ready", "later", "held", "waiting", "leased", "done", "dead", "cancelled"]
GroupName: TypeAlias = Annotated[str, Meta(min_length=17, max_length=17, pattern=r"^grp_[0-9a-z]{13}$(?!\n)", description="`grp_…`.")]
Metadata: TypeAlias = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64, pattern=_PRINTABLE)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]

LATER = {
    "budget": "budgets",
    "budget_usd": "budgets",
    "callback_url": "webhooks",
    "webhook": "webhooks",
    "webhook_url": "webhooks",
}
"""Fields of features that are planned: refused by name, never accepted and ignored."""

__all__ = [
    "LATER",
    "PATTERNS",
    "CancelQuery",
    "ChangesQuery",
    "DeadLettersQuery",
    "Decide",
    "ErrorsQuery",
    "ForkRun",
    "ImportQuery",
    "MakeKey",
    "MembersQuery",
    "MessageQuery",
    "MessagesQuery",
    "Name",
    "NoQuery",
    "PageQuery",
    "PutMany",
    "PutMessage",
    "SessionName",
    "Signal",
    "StepsQuery",
]


class PutMessage(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A message to be put. What it does not say comes from the agent, then from the settings."""

    agent: Name
    body: Any
    """What the agent gets; checked against the schema its workers registered."""
    queue: Name | None = None
    priority: Annotated[int, Meta(ge=0, le=9, description="0 is the most urgent.")] = NORMAL
    delay_s: Annotated[float, Meta(ge=0, le=_YEARS_S)] | None = None
    due_at: When | None = None
    dedup_key: DedupKey | None = None
    attempts: Attempts | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=7 * 24 * 3600)] | None = None
    deadline: When | None = None
    max_wait_s: Annotated[float, Meta(gt=0, le=_YEARS_S)] | None = None
    version: Annotated[str, Meta(min_length=1, max_length=128, pattern=_PRINTABLE, description="Run on this code only.")] | None = None
    session: SessionName | None = None
    on_dead: Annotated[Literal["continue", "block"], Meta(description="What its session does if it is given up.")] = "continue"
    key: Annotated[str, Meta(min_length=1, max_length=200, pattern=_LINE, description="So many of each may run at once.")] | None = None
    cost: Annotated[int, Meta(ge=1, le=1_000_000_000, description="How much of its tenant's share it takes.")] = 1
    max_cost_usd: Annotated[float, Meta(gt=0, le=1_000_000, description="What the calls of models of its run may cost.")] | None = None
    metadata: Metadata = {}
    tenant: Name | None = None


class PutMany(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Messages to be put: all of them, or none."""

    messages: Annotated[list[PutMessage], Meta(min_length=1)]
    then: PutMessage | None = None
    """Makes a group of them: this one is ready once all have ended, however they did."""
    group: GroupName | None = None
    """Add them to this group, which is open."""
    group_name: Annotated[str, Meta(min_length=1, max_length=100, pattern=_LINE)] | None = None
    """Makes a group of them, with this name."""
    open: bool = False
    """With `then` or `group_name`: more will be added, until the group is closed."""


class Signal(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a message is told, for which its run waits or will wait."""

    name: Annotated[str, Meta(min_length=1, max_length=200, pattern=_LINE)]
    data: Any = None
    """What `run.wait_for` returns."""
    key: DedupKey | None = None
    """Of this message and name: the same key again changes nothing."""


class CancelQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether what the message's run has sent is called off too."""

    children: bool = True


class MembersQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which of a group's messages."""

    limit: Limit = 100
    cursor: Cursor | None = None


class Decide(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What became of a call whose outcome is unknown."""

    decision: Literal["happened", "run-again", "bury"]
    result: Any = None
    """For `happened`: what the call returned."""


class ForkRun(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """From which step a run goes on anew, and what is different; what is left out stays as it was."""

    from_step: Annotated[int, Meta(ge=1, le=10**9, description="The first step that is made anew.")]
    body: Any = msgspec.UNSET
    priority: Annotated[int, Meta(ge=0, le=9)] | None = None
    version: Annotated[str, Meta(min_length=1, max_length=128, pattern=_PRINTABLE)] | msgspec.UnsetType | None = msgspec.UNSET
    """Null runs on any code."""


class StepsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which steps, and how much of them."""

    cursor: Annotated[int, Meta(ge=0, le=10**9, description="`next_cursor` of the page before.")] = 0
    requests: bool = True
    """Whether to show what was asked."""


class ImportQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What becomes of a run that had not ended: `start` lets it go on here; else it is kept as cancelled."""

    start: bool = False
    tenant: Name | None = None


class MakeKey(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key to be made. Nobody can make one that opens more than their own."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=_LINE)]
    scopes: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(min_length=1, max_length=64)]
    tenant: Annotated[str, Meta(pattern=_TENANT)] | None = None
    expires_at: When | None = None


class NoQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Nothing may be asked in the address."""


class MessageQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How long to wait for a message's end."""

    wait: WaitS = 0.0


class MessagesQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which messages."""

    state: StateName | None = None
    queue: Name | None = None
    agent: Name | None = None
    code: Name | None = None
    session: SessionName | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class DeadLettersQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters."""

    queue: Name | None = None
    agent: Name | None = None
    code: Name | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class PageQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of something."""

    limit: Limit = 50
    cursor: Cursor | None = None


class ErrorsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which patterns of errors."""

    code: Name | None = None
    agent: Name | None = None
    provider: Name | None = None
    trend: Literal["new", "rising", "steady", "falling", "quiet"] | None = None
    spikes: bool = False
    """Only those with a spike."""
    unmapped: bool = False
    """Only answers of providers that no rule knew."""
    limit: Limit = 50


class ChangesQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """From where on, and how long to wait for the first. Without `after`: from now on."""

    after: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    wait: WaitS = 0.0
    limit: Limit = 1000
