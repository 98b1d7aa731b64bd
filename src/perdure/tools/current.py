"""The step under way, as a tool sees it."""

from __future__ import annotations

from contextvars import ContextVar

from perdure.errors.base import InvalidInput

__all__ = ["STEP_KEY", "idempotency_key"]

STEP_KEY: ContextVar[str | None] = ContextVar("perdure_step_key", default=None)
"""Set by the run around every tool and step."""


def idempotency_key() -> str:
    """Name the step under way: the same on every try, different for every other step.

    Hand it to a service that takes an idempotency key, and the tool may be marked `idempotent`.

    Returns:
        str: For example `msg_01k7s8x4zv000-3`.

    Raises:
        InvalidInput: No step of a run is under way here.
    """
    key = STEP_KEY.get()
    if key is None:
        raise InvalidInput("there is no idempotency key outside a step", hint="Call it inside a tool or a function given to `run.step`.")
    return key
