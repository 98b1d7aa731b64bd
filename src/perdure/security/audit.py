"""Who did what: one row for each thing a person or a program changed, kept apart from messages.

Rows are only ever added, in the same commit as what they speak of, and go after a year. They name
what was changed, never what it holds: no body, no result, no key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from perdure.clock import Moment
from perdure.security.secrets import redact_facts

__all__ = ["Actor", "AuditLog", "Deed", "DeedFilter", "DeedPage", "details_text"]


class Actor(msgspec.Struct, frozen=True):
    """Who acts: a key's id, or `cli` where the store itself was opened; and in which request."""

    who: str
    request_id: str | None = None


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """One row."""

    id: int
    at: Moment
    who: str
    action: str
    """What was done to what kind of thing: `dead-letter.revive`, `queue.pause`."""
    target: str
    """To which one: a message's id, the name of a queue or schedule, the id of a key; `*` for all."""
    details: Mapping[str, Any] = {}
    request_id: str | None = None


class DeedFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows; None means any."""

    who: str | None = None
    action: str | None = None
    target: str | None = None
    after: Moment | None = None
    before: Moment | None = None


class DeedPage(msgspec.Struct, frozen=True):
    """Some rows, newest first, and where to go on (None at the end)."""

    deeds: Sequence[Deed]
    cursor: str | None = None


class AuditLog(Protocol):
    """Keeps what was done. Proved by `perdure.testing.OperatingKit`."""

    async def note(self, by: Actor, action: str, target: str, details: Mapping[str, Any] | None = None) -> None:
        """Add a row for what was done outside the store's own calls.

        Args:
            by (Actor): Who did it.
            action (str): What.
            target (str): To which one.
            details (Mapping[str, Any] | None): More; what looks like a secret is struck out.
        """
        ...

    async def list(self, filter: DeedFilter, *, limit: int = 50, cursor: str | None = None) -> DeedPage:
        """List rows, newest first.

        Args:
            filter (DeedFilter): Which.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): Where the page before ended.

        Returns:
            DeedPage: Some of them.

        Raises:
            InvalidInput: The cursor is none of ours.
        """
        ...


def details_text(details: Mapping[str, Any]) -> bytes | None:
    """Write details as they are kept.

    Args:
        details (Mapping[str, Any]): What else there is to say; None values are left out.

    Returns:
        bytes | None: JSON without secrets; None if nothing is said.
    """
    said = {name: value for name, value in details.items() if value is not None}
    return msgspec.json.encode(redact_facts(said)) if said else None
