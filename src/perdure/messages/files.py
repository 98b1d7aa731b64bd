"""The contract of files: what callers hand in to be worked on line by line, and what is handed back to them.

Theory of operation: a file is begun, written piece by piece and finished, and nobody sees it before that. Its pieces lie in the
store itself, so every machine reaches them, a backup has them, and whatever else is written may be written with a piece in one
transaction. What is deleted, has expired or was never finished is out of sight at once; its pieces go bite by bite, behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from perdure.clock import Moment
from perdure.errors.base import NotFound

PIECE_BYTES = 512 * 1024
"""So much of a file is held in memory at once."""
BITE = 32
"""So many pieces are forgotten at once."""
ABANDONED_S = 24 * 3600.0
"""A file of which nothing has come for so long will not be finished."""

__all__ = ["ABANDONED_S", "BITE", "PIECE_BYTES", "File", "FilePage", "FileStore", "FileWish", "NewFile", "no_file"]


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that begins."""

    id: str
    """Drawn by whoever begins it, so that nobody else has it."""
    tenant: str
    name: str
    """As its caller calls it; never a path of ours."""
    purpose: str = ""
    """What it is for, if that is known already."""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is whole."""

    id: str
    tenant: str
    name: str
    purpose: str
    size_bytes: int
    pieces: int
    created_at: Moment
    expires_at: Moment | None = None


class FileWish(msgspec.Struct, frozen=True, kw_only=True):
    """Which files are wanted, and in which order."""

    tenant: str | None = None
    """None for those of all."""
    purpose: str | None = None
    newest_first: bool = True
    after: str | None = None
    """The file after which to go on."""
    limit: int = 100


class FilePage(msgspec.Struct, frozen=True):
    """Some files, and whether there are more."""

    files: Sequence[File]
    more: bool


class FileStore(Protocol):
    """Keeps files. Proved by `perdure.testing.FileKit`."""

    async def begin(self, new: NewFile) -> None:
        """Begin a file, which nobody sees until it is finished.

        Args:
            new (NewFile): What it will be.
        """
        ...

    async def write(self, id: str, piece: bytes) -> None:
        """Write the next piece of a file.

        Args:
            id (str): One that was begun and is not finished.
            piece (bytes): At most `PIECE_BYTES`.

        Raises:
            NotFound: It was given up meanwhile.
        """
        ...

    async def finish(self, id: str, *, purpose: str | None = None, expires_s: float | None = None) -> File:
        """Let a file be seen.

        Args:
            id (str): One that was begun.
            purpose (str | None): What it is for; None for what was said when it began.
            expires_s (float | None): How long from now it is kept; None until somebody deletes it.

        Returns:
            File: It.

        Raises:
            NotFound: It was given up meanwhile.
        """
        ...

    async def give_up(self, id: str) -> None:
        """Say that a file will not be finished. One that is finished, or unknown, is left alone.

        Args:
            id (str): One that was begun.
        """
        ...

    async def get(self, id: str, *, tenant: str | None) -> File:
        """Look at a file.

        Args:
            id (str): Which.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            File: It.

        Raises:
            NotFound: No such file (of this tenant), or not any more.
        """
        ...

    async def list(self, wish: FileWish) -> FilePage:
        """List files.

        Args:
            wish (FileWish): Which.

        Returns:
            FilePage: By the moment in which they were begun.

        Raises:
            NotFound: There is no file after which to go on.
        """
        ...

    async def read(self, id: str, number: int) -> bytes:
        """Read a piece of a file.

        Args:
            id (str): One that was seen.
            number (int): 0 for the first.

        Returns:
            bytes: It.

        Raises:
            NotFound: There is no such piece, or the file was deleted meanwhile.
        """
        ...

    async def delete(self, id: str, *, tenant: str | None) -> None:
        """Delete a file.

        Args:
            id (str): Which.
            tenant (str | None): Only if it is this tenant's.

        Raises:
            NotFound: No such file (of this tenant), or not any more.
        """
        ...

    async def forget(self) -> bool:
        """Forget one bite of what was deleted, has expired or was never finished. Any living worker may call it at any moment.

        Returns:
            bool: Whether another bite would find more at once.
        """
        ...


def no_file(id: str) -> NotFound:
    """Say that a file is not there.

    Args:
        id (str): As it was asked for.

    Returns:
        NotFound: To be raised.
    """
    return NotFound(f"there is no file {id[:60]!r}", hint="Yours are listed at GET /v1/files.")
