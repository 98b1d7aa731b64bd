"""Bytes as they are kept: smaller where that helps, and saying by themselves how to read them.

JSON never begins with a byte below 9 (a tab). So whatever is kept in one column begins with one if it is
anything else than the JSON itself: what was written before there was any of this reads as what it is.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum

from perdure.errors.base import StoreError

__all__ = ["PLAIN_BYTES", "Mark", "mark_of", "pack", "unpack"]

PLAIN_BYTES = 1024
"""Up to this size nothing is gained by making it smaller."""
_LEVEL = 1  # twice as fast as zlib's own choice, and within a tenth of its size on prompts
_SMALL_BYTES = 16 * 1024
_SMALL, _LARGE = (13, 6), (15, 8)
"""Window and memory of a stream: clearing the large ones takes five times as long as squeezing a short text."""
_HELPS = 7 / 8
_SIZE = struct.Struct(">I")


class Mark(IntEnum):
    """The first byte of what is not plain JSON."""

    LITERAL = 0  # what follows, although it looks like one of the others
    ZLIB = 1  # its size, then a zlib stream
    BODY = 2  # the digest of a body that is kept once, whoever has it
    TALK = 3  # an LLM call's request, of which each message is kept once


_FIRST_PLAIN = 9


def mark_of(kept: bytes) -> Mark | None:
    """Tell how something is kept.

    Args:
        kept (bytes): From the store.

    Returns:
        Mark | None: None for what is plain.

    Raises:
        StoreError: It was kept by a newer version, or is damaged.
    """
    if not kept or kept[0] >= _FIRST_PLAIN:
        return None
    try:
        return Mark(kept[0])
    except ValueError:
        raise StoreError(f"a body begins with {kept[0]}, which this version cannot read", hint="A newer version wrote it.") from None


def pack(data: bytes) -> bytes:
    """Make bytes smaller, if that helps.

    Args:
        data (bytes): Anything.

    Returns:
        bytes: For `unpack`.
    """
    if len(data) > PLAIN_BYTES:
        squeezer = zlib.compressobj(_LEVEL, zlib.DEFLATED, *(_SMALL if len(data) <= _SMALL_BYTES else _LARGE))
        squeezed = squeezer.compress(data) + squeezer.flush()
        if len(squeezed) < len(data) * _HELPS:
            return b"%c%b%b" % (Mark.ZLIB, _SIZE.pack(len(data)), squeezed)
    return data if not data or data[0] >= _FIRST_PLAIN else b"%c%b" % (Mark.LITERAL, data)


def unpack(kept: bytes) -> bytes:
    """Read what `pack` wrote. Never takes more memory than was written down with it.

    Args:
        kept (bytes): From `pack`.

    Returns:
        bytes: What it was given.

    Raises:
        StoreError: It is damaged, or no such thing.
    """
    mark = mark_of(kept)
    if mark is None:
        return kept
    if mark is Mark.LITERAL:
        return kept[1:]
    if mark is not Mark.ZLIB or len(kept) <= _SIZE.size:
        raise StoreError(f"{mark.name} is nothing that stands by itself")
    [size_bytes] = _SIZE.unpack_from(kept, 1)
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(kept[1 + _SIZE.size :], size_bytes + 1)
    except zlib.error as error:
        raise StoreError(f"a body is damaged: {error}", hint="Restore a backup.") from error
    if len(data) != size_bytes or not reader.eof:
        raise StoreError("a body is not as long as was written down with it", hint="Restore a backup.")
    return data
