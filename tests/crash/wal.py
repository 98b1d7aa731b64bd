"""As much of SQLite's write-ahead log as its promise needs: https://sqlite.org/walformat.html."""

from __future__ import annotations

import struct
from pathlib import Path

__all__ = ["FRAME_BYTES", "HEAD_BYTES", "reached", "written_back"]

HEAD_BYTES = 32
FRAME_BYTES = 24 + 4096


def reached(wal: Path) -> tuple[int, int]:
    """Tell how often the log has begun anew, and the bytes of it that hold commits of this generation."""
    with wal.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES:
            return -1, 0
        generation, salts = struct.unpack(">I", head[12:16])[0], head[16:24]
        first, last = 0, (file.seek(0, 2) - HEAD_BYTES) // FRAME_BYTES
        while first < last:  # what is left of the generation before lies behind this one
            middle = (first + last) // 2
            file.seek(HEAD_BYTES + middle * FRAME_BYTES + 8)
            first, last = (middle + 1, last) if file.read(8) == salts else (first, middle)
    return generation, HEAD_BYTES + first * FRAME_BYTES


def written_back(shm: Path) -> int:
    """Tell how many bytes of the log were already written back into the database, or may be just now.

    SQLite waits until the log is on the disk before it writes any of it back, so a power cut cannot leave less of it.
    """
    attempted = struct.unpack("=I", shm.read_bytes()[128:132])[0]
    return HEAD_BYTES + attempted * FRAME_BYTES
