"""What callers want put, and whether it fits into a statement for many.

Nearly everything does. What does not: a key that comes twice in one call, a session joined with several priorities at
once, and what a run sends, which is recorded with its step. And calls of the same moment have to be strangers to each
other: what the first of them brings, the others find only once that is committed.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from perdure.messages.groups import NewGroup
from perdure.messages.message import GroupId, NewMessage

__all__ = ["Wish", "strangers"]


class Wish:
    """What one caller wants put, all or none.

    Args:
        messages (Sequence[NewMessage]): Which.
        group (NewGroup | GroupId | None): Into which.
    """

    __slots__ = ("brings", "fits", "group", "is_bound", "messages", "then")

    def __init__(self, messages: Sequence[NewMessage], group: NewGroup | GroupId | None) -> None:
        self.messages, self.group = messages, group
        self.then: NewMessage | None = group.then if isinstance(group, NewGroup) else None
        """The join of a group that begins."""
        self.brings: list[Hashable] = []
        """What others could share with it: its keys, its sessions, the group that it adds to."""
        self.is_bound: bool = group is not None
        """Whether anything of it belongs to something else."""
        self.fits: bool = bool(messages) and self._read()
        """Whether it can be put by a statement; else only the shared way knows how to put it, or to refuse."""

    @property
    def all(self) -> Sequence[NewMessage]:
        """All that is put: the join first, as its id is drawn first."""
        return self.messages if self.then is None else [self.then, *self.messages]

    def _read(self) -> bool:
        brings = self.brings
        for new in self.all:
            if new.parent is not None:
                return False
            if new.dedup_key is not None:
                brings.append((new.tenant, new.dedup_key))
            if new.session is not None:
                self.is_bound = True
        if len(brings) > 1 and len(set(brings)) < len(brings):
            return False
        return not self.is_bound or self._read_bonds()

    def _read_bonds(self) -> bool:
        if self.then is not None and self.then.session is not None:
            return False
        urgencies: dict[tuple[str, str], int] = {}
        for new in self.messages:
            if new.session is not None and urgencies.setdefault((new.tenant, new.session), new.priority) != new.priority:
                return False
        self.brings += [("session", *line) for line in urgencies]
        if self.group is not None and not isinstance(self.group, NewGroup):
            self.brings.append(self.group)
        return True


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
        if seen.isdisjoint(wish.brings):
            chosen.append(at)
        seen.update(wish.brings)
    return chosen
