"""What `/api/v1` says of what operators did: rows of the audit log, bites, edits, schedules."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw

from perdure.clock import Moment, iso
from perdure.messages import ids
from perdure.messages.calendar import Calendar
from perdure.messages.dead_letters import Bite, Edited
from perdure.messages.schedules import Schedule
from perdure.messages.store import Pause
from perdure.messages.terms import own
from perdure.security.audit import Deed
from perdure.server.answers import Time

__all__ = ["BiteJson", "DeedJson", "DiscardedJson", "EditedJson", "PauseJson", "ScheduleJson", "ScheduledMessage"]


class DeedJson(msgspec.Struct, kw_only=True):
    """One row of the audit log."""

    object: Literal["deed"] = "deed"
    id: int
    at: Time
    who: str
    action: str
    target: str
    details: dict[str, Any]
    request_id: str | None

    @classmethod
    def of(cls, deed: Deed) -> DeedJson:
        """Write a row.

        Args:
            deed (Deed): As kept.

        Returns:
            DeedJson: For the wire.
        """
        return cls(
            id=deed.id,
            at=iso(deed.at) or "",
            who=deed.who,
            action=deed.action,
            target=deed.target,
            details=dict(deed.details),
            request_id=deed.request_id,
        )


class PauseJson(msgspec.Struct, kw_only=True):
    """Who stopped leasing, when, and why."""

    at: Time
    who: str | None
    why: str | None

    @classmethod
    def of(cls, pause: Pause | None) -> PauseJson | None:
        """Write a pause.

        Args:
            pause (Pause | None): As kept.

        Returns:
            PauseJson | None: For the wire; None for None.
        """
        return None if pause is None else cls(at=iso(pause.at) or "", who=pause.who, why=pause.why)


class BiteJson(msgspec.Struct, kw_only=True):
    """What was done to those that fit a filter; go on with `next_cursor` until it is null."""

    object: Literal["bite"] = "bite"
    dry_run: bool
    done: int
    """With `dry_run`: those that fit."""
    refused: int
    problems: list[str]
    """Some of the reasons why."""
    sample: list[str]
    due_at: Time | None
    next_cursor: str | None

    @classmethod
    def of(cls, bite: Bite, *, dry_run: bool, problems: list[str] | None = None) -> BiteJson:
        """Write a bite.

        Args:
            bite (Bite): What was done.
            dry_run (bool): Whether nothing was.
            problems (list[str] | None): Why some were refused.

        Returns:
            BiteJson: For the wire.
        """
        return cls(
            dry_run=dry_run,
            done=bite.done,
            refused=bite.refused,
            problems=problems or [],
            sample=[ids.write(one) for one in bite.sample],
            due_at=iso(bite.due_at),
            next_cursor=bite.cursor,
        )


class DiscardedJson(msgspec.Struct, kw_only=True):
    """A dead letter that is gone."""

    object: Literal["discarded"] = "discarded"
    id: str


class EditedJson(msgspec.Struct, kw_only=True):
    """One edit: who, when, and what it was before."""

    object: Literal["edit"] = "edit"
    at: Time
    who: str | None
    before: dict[str, Any]
    body_before: Raw
    """Null where the body was not changed."""

    @classmethod
    def of(cls, edit: Edited) -> EditedJson:
        """Write an edit.

        Args:
            edit (Edited): As kept.

        Returns:
            EditedJson: For the wire.
        """
        before = dict(edit.before)
        if "deadline" in before:
            before["deadline"] = iso(before["deadline"])
        return cls(at=iso(edit.at) or "", who=edit.who or None, before=before, body_before=Raw(edit.body or b"null"))


class ScheduledMessage(msgspec.Struct, kw_only=True):
    """What a schedule puts."""

    agent: str
    body: Raw
    queue: str
    priority: int
    attempts: int
    timeout_s: float | None
    max_wait_s: float
    version: str | None
    metadata: dict[str, str]


class ScheduleJson(msgspec.Struct, kw_only=True):
    """A schedule, and when it fires."""

    object: Literal["schedule"] = "schedule"
    name: str
    tenant: str
    cron: str
    timezone: str
    misfire: str
    overlap: str
    paused: bool
    next_at: Time | None
    upcoming: list[Time]
    last_at: Time | None
    last_id: str | None
    fired: int
    passed_over: int
    created_at: Time
    message: ScheduledMessage

    @classmethod
    def of(cls, kept: Schedule, *, now: Moment, upcoming: int = 0) -> ScheduleJson:
        """Write a schedule.

        Args:
            kept (Schedule): As the store keeps it.
            now (Moment): The store's time.
            upcoming (int): How many of its next moments to show.

        Returns:
            ScheduleJson: For the wire.
        """
        put = kept.message
        moments = Calendar(kept.cron, kept.timezone).upcoming(now, upcoming) if upcoming else []
        names = ("agent", "queue", "priority", "attempts", "timeout_s", "max_wait_s", "version")
        return cls(
            name=kept.name,
            tenant=put.tenant,
            cron=kept.cron,
            timezone=kept.timezone,
            misfire=kept.misfire.value,
            overlap=kept.overlap.value,
            paused=kept.paused,
            next_at=iso(kept.next_at),
            upcoming=[iso(moment) or "" for moment in moments],
            last_at=iso(kept.last_at),
            last_id=None if kept.last_id is None else ids.write(kept.last_id),
            fired=kept.fired,
            passed_over=kept.passed_over,
            created_at=iso(kept.created_at) or "",
            message=ScheduledMessage(body=Raw(put.body), metadata=own(put.metadata), **{name: getattr(put, name) for name in names}),
        )
