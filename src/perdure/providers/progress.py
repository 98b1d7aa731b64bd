"""How far one request has come, which decides whether it may have been paid for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(slots=True)
class Progress:
    """How far a request has come."""

    sent: bool = False
    began: bool = False
    """A piece of the answer has been understood; set by whoever reads the stream."""
    timeout_s: float | None = None
