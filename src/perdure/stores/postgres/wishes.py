"""What callers want put, and whether it fits into a statement for many.

Nearly everything does. What does not: a key that comes twice in one call, a session joined with several priorities at
once, and what a run sends, which is recorded with its step. And calls of the same moment have to be strangers to each
other: what the first of them brings, the others find only once that is committed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from perdure.messages.groups import NewGroup
from perdure.messages.message import GroupId, NewMessage

__all__ = ["Wish", "strangers"]


class Wish:
    """What one caller wants put, all or none.

    Args:
        messages (Sequence[NewMessage]): Which.
        group (NewGroup | GroupId | None): Into which.
    """

    __slots__ = ("group", "messages", "then")

    def __init__(self, messages: Sequence[NewMessage], group: NewGroup | GroupId | None) -> None:
        self.messages, self.group = messages, group
        self.then: NewMessage | None = group.then if isinstance(group, NewGroup) else None
        """The join of a group that begins."""

    @property
    def all(self) -> Sequence[NewMessage]:
        """All that is put: the join first, as its id is drawn first."""
        return self.messages if self.then is None else [self.then, *self.messages]

    @property
    def is_bound(self) -> bool:
        """Whether anything of it belongs to something else."""
        return self.group is not None or any(new.session is not None for new in self.messages)

    def fits(self) -> bool:
        """Tell whether it can be put by a statement.

        Returns:
            bool: False for what only the shared way knows how to put, or to refuse.
        """
        urgencies: dict[tuple[str, str | None], int] = {}
        for new in self.messages:
            if new.parent is not None:
                return False
            if new.session is not None and urgencies.setdefault((new.tenant, new.session), new.priority) != new.priority:
                return False
        if self.then is not None and (self.then.session is not None or self.then.parent is not None):
            return False
        keys = [(new.tenant, new.dedup_key) for new in self.all if new.dedup_key is not None]
        return bool(self.messages) and len(set(keys)) == len(keys)

    def brings(self) -> Iterator[Hashable]:
        """List what others could share with it.

        Yields:
            Hashable: Its keys, its sessions, the group that it adds to.
        """
        for new in self.all:
            if new.dedup_key is not None:
                yield "key", new.tenant, new.dedup_key
            if new.session is not None:
                yield "session", new.tenant, new.session
        if self.group is not None and not isinstance(self.group, NewGroup):
            yield "group", self.group


def strangers(wishes: Sequence[Wish]) -> list[int]:
    """Choose those that share nothing with any that came before them.

    Args:
        wishes (Sequence[Wish]): In the order in which they came.

    Returns:
        list[int]: Their places.
    """
    seen: set[Hashable] = set()
    chosen: list[int] = []
    for at, wish in enumerate(wishes):
        brought = list(wish.brings())
        if seen.isdisjoint(brought):
            chosen.append(at)
        seen.update(brought)
    return chosen
