"""Waiting for the end of a message, as long as somebody listens."""

from __future__ import annotations

from collections.abc import Callable

from perdure.clock import awake
from perdure.messages.message import ENDS, MessageId, View
from perdure.server.core import Core

_LONG_S = 366 * 24 * 3600.0

__all__ = ["ended", "has_ended", "reached"]


async def ended(core: Core, id: MessageId, *, tenant: str | None, wait_s: float = _LONG_S) -> View:
    """Wait until a message has ended.

    Args:
        core (Core): Whose.
        id (MessageId): Which.
        tenant (str | None): Whose messages are seen; None for all.
        wait_s (float): No longer than this.

    Returns:
        View: As it is then, ended or not.

    Raises:
        NotFound: There is no such message, or it is not theirs to see.
    """
    return await reached(core, id, has_ended, tenant=tenant, wait_s=wait_s)


async def reached(core: Core, id: MessageId, enough: Callable[[View], bool], *, tenant: str | None, wait_s: float = _LONG_S) -> View:
    """Wait until a message has come far enough.

    Args:
        core (Core): Whose.
        id (MessageId): Which.
        enough (Callable[[View], bool]): Tells whether it has.
        tenant (str | None): Whose messages are seen; None for all.
        wait_s (float): No longer than this.

    Returns:
        View: As it is then, far enough or not.

    Raises:
        NotFound: There is no such message, or it is not theirs to see.
    """
    until = awake() + wait_s
    async with core.feed.listen(lambda change: change.id == id) as listener:
        view = await core.store.messages.get(id, tenant=tenant)
        while not enough(view) and not listener.closing and (left := until - awake()) > 0:
            if await listener.next(left):
                view = await core.store.messages.get(id, tenant=tenant)
        return view


def has_ended(view: View) -> bool:
    """Tell whether a message has ended.

    Args:
        view (View): Of it.

    Returns:
        bool: However it did.
    """
    return view.state in ENDS
