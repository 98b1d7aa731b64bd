"""What a test upstream was asked, kept where no kill of its clients can lose it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["CallLog", "Seen", "read_log"]


class Seen(msgspec.Struct, kw_only=True):
    """One request as it arrived."""

    n: int
    at: float
    path: str
    tag: str | None = None
    model: str | None = None
    sha: str = ""
    """Digest of its messages."""
    stream: bool = False
    body: dict[str, Any] = {}
    headers: dict[str, str] = {}


class CallLog:
    """An append-only file: a line when a request arrives, one more when it has been answered.

    Args:
        path (Path | None): None keeps no file.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def arrived(self, seen: Seen) -> None:
        """Note a request; called before it is answered.

        Args:
            seen (Seen): Which.
        """
        self._write({name: getattr(seen, name) for name in ("n", "at", "path", "tag", "model", "sha", "stream")})

    def answered(self, seen: Seen) -> None:
        """Note that a request's answer has been handed to the network.

        Args:
            seen (Seen): Which.
        """
        self._write({"n": seen.n, "answered": True})

    def _write(self, line: dict[str, Any]) -> None:
        if self._path is None:
            return
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, json.dumps(line).encode() + b"\n")
        finally:
            os.close(handle)


def read_log(path: Path) -> list[Seen]:
    """Read what an upstream has written.

    Args:
        path (Path): The log; may not exist yet.

    Returns:
        list[Seen]: One for each request that arrived, in that order.
    """
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [msgspec.convert(line, Seen) for line in lines if "path" in line]
