"""Following many messages to their ends over one connection, by the change sequence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from perdure.client.answers import ChangesJson, MessageJson

ENDED = frozenset({"done", "dead", "cancelled"})
_WAIT_S = 30.0
_LOOKS_AT_ONCE = 16
_LOOKS_A_ROUND = 100

__all__ = ["ENDED", "Asking", "follow"]


class Asking(Protocol):
    """What following needs of a client."""

    async def message(self, id: str) -> MessageJson:
        """Look at a message.

        Args:
            id (str): `msg_…`.

        Returns:
            MessageJson: As it is now.
        """
        ...

    async def changes(self, after: int | None = None, *, wait_s: float = 0) -> ChangesJson:
        """Read which messages moved.

        Args:
            after (int | None): Where to go on; None begins now.
            wait_s (float): How long to wait for the first.

        Returns:
            ChangesJson: In order.
        """
        ...


async def follow(client: Asking, ids: Iterable[str], *, look_at: Iterable[str], after: int | None) -> AsyncIterator[MessageJson]:
    """Give each message as it ends.

    The change sequence says which ones have ended. Where it says nothing for a while, some of those
    still open are looked at themselves, so that nothing hangs on a change that was missed.

    Args:
        client (Asking): Who asks.
        ids (Iterable[str]): Which messages.
        look_at (Iterable[str]): Those that may have ended before `after`.
        after (int | None): From which change on; None from now on.

    Yields:
        MessageJson: Each once, in the order of their ends as far as is known.
    """
    still_open = dict.fromkeys(ids)
    last = (await client.changes())["last"] if after is None else after
    looks = [one for one in look_at if one in still_open]
    while still_open:
        for start in range(0, len(looks), _LOOKS_AT_ONCE):
            for message in await asyncio.gather(*map(client.message, looks[start : start + _LOOKS_AT_ONCE])):
                if message["state"] in ENDED and message["id"] in still_open:
                    del still_open[message["id"]]
                    yield message
        if not still_open:
            return
        page = await client.changes(last, wait_s=_WAIT_S)
        last = page["data"][-1]["seq"] if page["data"] else page["last"]
        ended = {change["id"]: None for change in page["data"] if change["state"] in ENDED and change["id"] in still_open}
        looks = list(ended) if page["data"] else _some(still_open)


def _some(still_open: dict[str, None]) -> list[str]:
    """The first of those still open; they move to the end, so that each has its turn."""
    chosen = list(still_open)[:_LOOKS_A_ROUND]
    for one in chosen:
        still_open[one] = still_open.pop(one)
    return chosen
