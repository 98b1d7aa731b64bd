"""The audit log: who did what."""

from __future__ import annotations

from perdure.security.audit import DeedFilter
from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.listings import PageOf
from perdure.server.moments import moment_of
from perdure.server.orders import AuditQuery
from perdure.server.reports import DeedJson

__all__ = ["DOORS"]


async def list_deeds(call: Call) -> Answer:
    """List rows of the audit log, newest first.

    Args:
        call (Call): With an `AuditQuery`.

    Returns:
        Answer: 200 with a page.
    """
    query: AuditQuery = call.query
    wanted = DeedFilter(
        who=query.who,
        action=query.action,
        target=query.target,
        after=moment_of("after", query.after),
        before=moment_of("before", query.before),
    )
    page = await call.core.store.audit.list(wanted, limit=query.limit, cursor=query.cursor)
    return json_answer(PageOf(data=[DeedJson.of(deed) for deed in page.deeds], next_cursor=page.cursor))


DOORS = (
    Door(
        "GET", "/api/v1/audit", list_deeds, "list_audit", "List who did what, newest first.", "Audit", "audit:read", operator=True,
        query=AuditQuery, answers={200: PageOf[DeedJson]},
    ),
)  # fmt: skip
