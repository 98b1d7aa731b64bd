"""The change sequence as one tenant may know it: its own changes, and no number of anybody else's.

The sequence counts what happens to everybody's messages. A tenant is told to go on from its own newest
change, though much of others' may have come since; what was looked through for it is remembered here,
so that nobody who waits makes the store read the same changes of others again and again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from perdure.messages.store import Change, MessageStore

_PAGE = 1000
_FIRST_REACH = 1000
_REMEMBERED = 10_000

__all__ = ["OwnChanges"]


class _Quiet(NamedTuple):
    """A stretch of the sequence in which nothing is the tenant's: after `since`, up to `seen`."""

    since: int
    seen: int
    own: bool
    """Whether `since` is the tenant's newest change, and not just a number that somebody asked with."""


class OwnChanges:
    """Reads the change sequence for tenants.

    Args:
        messages (MessageStore): Whose changes.
    """

    def __init__(self, messages: MessageStore) -> None:
        self._messages = messages
        self._quiet: OrderedDict[str, _Quiet] = OrderedDict()

    async def after(self, after: int, *, tenant: str, limit: int) -> tuple[Sequence[Change], int]:
        """Read a tenant's changes.

        Args:
            after (int): Only changes with a larger number.
            tenant (str): Whose.
            limit (int): At most this many.

        Returns:
            tuple[Sequence[Change], int]: In order, and from where to go on: the newest of them, or `after` if there is none.
        """
        quiet = self._quiet.get(tenant)
        if quiet is None or not quiet.since <= after <= quiet.seen:
            quiet = _Quiet(after, after, own=after == 0)
        # Asked before the changes are read: whatever is not newer is seen by that reading.
        newest = await self._messages.last_change()
        changes = await self._messages.changes(quiet.seen, limit=limit, tenant=tenant)
        if len(changes) < limit and quiet.seen <= newest:
            since, own = (changes[-1].seq, True) if changes else (quiet.since, quiet.own)
            self._remember(tenant, _Quiet(since, max(since, newest), own))
        return changes, changes[-1].seq if changes else after

    async def newest(self, tenant: str) -> int:
        """Find a tenant's newest change.

        Args:
            tenant (str): Whose.

        Returns:
            int: Its number; 0 if there is none.
        """
        quiet = self._quiet.get(tenant)
        last = quiet.since if quiet is not None and quiet.own else await self._before_the_newest(tenant)
        while True:
            changes, last = await self.after(last, tenant=tenant, limit=_PAGE)
            if len(changes) < _PAGE:
                return last

    async def _before_the_newest(self, tenant: str) -> int:
        """Look back from the end, further each time, to where something of the tenant's follows."""
        newest, reach = await self._messages.last_change(), _FIRST_REACH
        while reach < newest and not await self._messages.changes(newest - reach, limit=1, tenant=tenant):
            reach *= 8
        return max(newest - reach, 0)

    def _remember(self, tenant: str, quiet: _Quiet) -> None:
        self._quiet[tenant] = quiet
        self._quiet.move_to_end(tenant)
        if len(self._quiet) > _REMEMBERED:
            self._quiet.popitem(last=False)
