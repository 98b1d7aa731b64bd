"""Files in pieces, in memory."""

from __future__ import annotations

import msgspec

from perdure.clock import Moment
from perdure.messages.files import ABANDONED_S, File, FilePage, FileStore, FileWish, NewFile, no_file
from perdure.stores.inmemory.contents import Contents, FileRow

__all__ = ["InMemoryFiles", "finish_row", "open_row"]


class InMemoryFiles(FileStore):
    """Keeps files.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def begin(self, new: NewFile) -> None:
        """Begin a file, which nobody sees until it is finished."""
        with self._contents.open() as now:
            self._contents.files[new.id] = FileRow(new, created_at=now, goes_at=now + ABANDONED_S)

    async def write(self, id: str, piece: bytes) -> None:
        """Write the next piece of a file."""
        with self._contents.open() as now:
            row = open_row(self._contents, id)
            row.pieces.append(piece)
            row.goes_at = now + ABANDONED_S

    async def finish(self, id: str, *, purpose: str | None = None, expires_s: float | None = None) -> File:
        """Let a file be seen."""
        with self._contents.open() as now:
            return finish_row(self._contents, id, now, purpose=purpose, expires_s=expires_s)

    async def give_up(self, id: str) -> None:
        """Say that a file will not be finished."""
        with self._contents.open():
            row = self._contents.files.get(id)
            if row is not None and row.state == "open":
                del self._contents.files[id]

    async def get(self, id: str, *, tenant: str | None) -> File:
        """Look at a file."""
        with self._contents.open() as now:
            return self._row(id, tenant, now).seen()

    async def list(self, wish: FileWish) -> FilePage:
        """List files."""
        with self._contents.open() as now:
            found = [one.seen() for one in self._contents.files.values() if one.is_there(now)]
            found = [one for one in found if wish.tenant in (None, one.tenant) and wish.purpose in (None, one.purpose)]
            found.sort(key=lambda one: (one.created_at, one.id), reverse=wish.newest_first)
            if wish.after is not None:
                last = self._row(wish.after, wish.tenant, now).seen()
                at = (last.created_at, last.id)
                found = [one for one in found if ((one.created_at, one.id) < at if wish.newest_first else (one.created_at, one.id) > at)]
            return FilePage(found[: wish.limit], len(found) > wish.limit)

    async def read(self, id: str, number: int) -> bytes:
        """Read a piece of a file."""
        with self._contents.open():
            row = self._contents.files.get(id)
            if row is None or number >= len(row.pieces):
                raise no_file(id)
            return row.pieces[number]

    async def delete(self, id: str, *, tenant: str | None) -> None:
        """Delete a file."""
        with self._contents.open() as now:
            self._row(id, tenant, now)
            del self._contents.files[id]

    async def forget(self) -> bool:
        """Forget one bite of what was deleted, has expired or was never finished."""
        with self._contents.open() as now:
            due = [name for name, row in self._contents.files.items() if row.goes_at is not None and row.goes_at <= now]
            for name in due[:1]:
                del self._contents.files[name]
            return len(due) > 1

    def _row(self, id: str, tenant: str | None, now: Moment) -> FileRow:
        row = self._contents.files.get(id)
        if row is None or not row.is_there(now) or tenant not in (None, row.new.tenant):
            raise no_file(id)
        return row


def finish_row(contents: Contents, id: str, now: Moment, *, purpose: str | None = None, expires_s: float | None = None) -> File:
    """Let a file be seen.

    Args:
        contents (Contents): What the store keeps.
        id (str): One that is not finished.
        now (Moment): The store's time.
        purpose (str | None): What it is for; None for what was said before.
        expires_s (float | None): How long it is kept.

    Returns:
        File: It.

    Raises:
        NotFound: It was given up meanwhile.
    """
    row = open_row(contents, id)
    row.state, row.goes_at = "kept", None if expires_s is None else now + expires_s
    row.new = row.new if purpose is None else msgspec.structs.replace(row.new, purpose=purpose)
    return row.seen()


def open_row(contents: Contents, id: str) -> FileRow:
    """Find a file that is being written.

    Args:
        contents (Contents): What the store keeps.
        id (str): Which.

    Returns:
        FileRow: It.

    Raises:
        NotFound: There is none.
    """
    row = contents.files.get(id)
    if row is None or row.state != "open":
        raise no_file(id)
    return row
