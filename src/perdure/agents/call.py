"""A call as the agent made it, and where it made it."""

from __future__ import annotations

from contextvars import ContextVar

import msgspec

from perdure.agents.journal import Step, StepKey
from perdure.messages.spending import Bill

__all__ = ["SCOPE", "Call"]

SCOPE: ContextVar[str] = ContextVar("perdure_scope", default="")
"""The names of `run.scope` around a call, joined with `/`."""


class Call(msgspec.Struct, eq=False):
    """A call as the agent made it."""

    key: StepKey
    found: Step | None
    request: bytes | None = None
    idempotent: bool = False
    tool_version: str | None = None
    number: int = 0
    """Its place in the journal; 0 while it has none."""
    again: bool = False
    """Making it may be making it a second time."""
    began_at: float = 0.0
    bill: Bill | None = None
    """Where what it costs is booked."""
