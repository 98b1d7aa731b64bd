"""The audit log, in the store."""

from __future__ import annotations

import builtins
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from perdure.clock import LAST_MOMENT
from perdure.errors.base import InvalidInput
from perdure.security.audit import Actor, AuditLog, Deed, DeedFilter, DeedPage
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqlAudit"]

_LIST, _OF_TARGET = statement("audit_list"), statement("audit_of_target")
_OF_WHO, _OF_ACTION = statement("audit_of_who"), statement("audit_of_action")
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_NEWEST = 2**63 - 1


class SqlAudit(AuditLog):
    """Keeps what was done.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def note(self, by: Actor, action: str, target: str, details: Mapping[str, Any] | None = None) -> None:
        """Add a row for what was done outside the store's own calls."""
        await self._engine.write(_note, by, action, target, dict(details or {}))

    async def list(self, filter: DeedFilter, *, limit: int = 50, cursor: str | None = None) -> DeedPage:
        """List rows, newest first."""
        return await self._engine.read(_page, filter, limit, _NEWEST if cursor is None else _read_cursor(cursor))


def _note(tx: Transaction, by: Actor, action: str, target: str, details: dict[str, Any]) -> None:
    tx.audit(by, action, target, **details)


def _read_cursor(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 20):
        raise InvalidInput(f"{cursor[:60]!r} is no cursor of ours", hint="Use `next_cursor` of the page before.")
    return int(cursor)


def _page(run: Run, filter: DeedFilter, limit: int, below: int) -> DeedPage:
    rows = _rows(run, filter, limit + 1, below)
    deeds = [_deed(row) for row in rows[:limit]]
    return DeedPage(deeds, str(deeds[-1].id) if len(rows) > limit else None)


def _rows(run: Run, filter: DeedFilter, limit: int, below: int) -> builtins.list[Any]:
    after = -math.inf if filter.after is None else filter.after
    head = (below, after, LAST_MOMENT if filter.before is None else filter.before, limit)
    if filter.target is not None:
        found = run(_OF_TARGET, (*head, filter.target, filter.who, filter.action))
    elif filter.who is not None:
        found = run(_OF_WHO, (*head, filter.who, filter.action))
    elif filter.action is not None:
        found = run(_OF_ACTION, (*head, filter.action))
    else:
        found = run(_LIST, head)
    rows: builtins.list[Any] = found.fetchall()
    return rows


def _deed(row: tuple[Any, ...]) -> Deed:
    number, at, who, action, target, request, details = row
    told = {} if details is None else _decode(details)
    return Deed(id=number, at=at, who=who, action=action, target=target, request_id=request, details=told)
