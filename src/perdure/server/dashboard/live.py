"""`/live`: tells open pages that something changed; they then ask for themselves again.

The stream carries no content, so it can leak none; a page that comes back asks with its own session.
Changes are gathered for a moment first: a thousand messages a second are two redraws, not a thousand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from perdure.clock import awake
from perdure.errors.base import PerdureError
from perdure.messages import ids
from perdure.messages.store import Change
from perdure.server.answer import Streamed
from perdure.server.dashboard.visit import Visit
from perdure.wire.sse import encode_comment, encode_event

PING_S = 15.0
_GATHER_S = 0.4
_LONGEST_S = 30 * 60.0

__all__ = ["PING_S", "live"]


async def live(visit: Visit) -> Streamed:
    """Follow all messages of a visitor's tenant, or one.

    Args:
        visit (Visit): With `message` in its query for one alone.

    Returns:
        Streamed: Events `change` whose id is the change's number.
    """
    one = ids.read(visit.query["message"]) if "message" in visit.query else None
    if one is not None:
        await visit.core.store.messages.get(one, tenant=visit.tenant)
    return Streamed(_events(visit, one))


async def _events(visit: Visit, one: int | None) -> AsyncGenerator[bytes, None]:
    def wanted(change: Change) -> bool:
        return visit.tenant in (None, change.tenant) and one in (None, change.id)

    until = awake() + _LONGEST_S
    yield b"retry: 2000\n\n"
    try:
        async with visit.core.feed.listen(wanted) as listener:
            while not listener.closing and awake() < until:
                heard = await listener.next(PING_S)
                await visit.core.gate.by_digest(visit.session.digest)  # a revoked key hears nothing more
                if heard:
                    await asyncio.sleep(_GATHER_S)
                    yield encode_event({"seq": heard[-1].seq}, event="change", id=str(heard[-1].seq))
                else:
                    yield encode_comment("ping")
    except PerdureError:
        yield encode_event({"over": True}, event="over")  # the page goes to the login page, or tries again
