"""The audit log, in memory."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from perdure.errors.base import InvalidInput
from perdure.security.audit import Actor, AuditLog, Deed, DeedFilter, DeedPage
from perdure.stores.inmemory.contents import Contents

__all__ = ["InMemoryAudit"]


class InMemoryAudit(AuditLog):
    """Keeps what was done.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def note(self, by: Actor, action: str, target: str, details: Mapping[str, Any] | None = None) -> None:
        """Add a row for what was done outside the store's own calls."""
        with self._contents.open():
            self._contents.note_deed(by, action, target, **(details or {}))

    async def list(self, filter: DeedFilter, *, limit: int = 50, cursor: str | None = None) -> DeedPage:
        """List rows, newest first."""
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 20):
            raise InvalidInput(f"{cursor[:60]!r} is no cursor of ours", hint="Use `next_cursor` of the page before.")
        with self._contents.open():
            fit = [deed for deed in reversed(self._contents.deeds) if _fits(deed, filter) and (cursor is None or deed.id < int(cursor))]
            shown: builtins.list[Deed] = fit[:limit]
            return DeedPage(shown, str(shown[-1].id) if len(fit) > limit else None)


def _fits(deed: Deed, filter: DeedFilter) -> bool:
    return (
        filter.who in (None, deed.who)
        and filter.action in (None, deed.action)
        and filter.target in (None, deed.target)
        and (filter.after is None or deed.at >= filter.after)
        and (filter.before is None or deed.at < filter.before)
    )
