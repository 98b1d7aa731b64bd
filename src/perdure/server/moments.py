"""Moments that callers name."""

from __future__ import annotations

from datetime import datetime

from perdure.clock import FIRST_MOMENT, LAST_MOMENT, Moment
from perdure.errors.base import InvalidInput

__all__ = ["moment_of"]


def moment_of(name: str, when: datetime | None) -> Moment | None:
    """Read a moment that somebody named.

    Args:
        name (str): What the caller calls it.
        when (datetime | None): With a time zone.

    Returns:
        Moment | None: None for None.

    Raises:
        InvalidInput: No calendar of ours goes so far.
    """
    if when is None:
        return None
    try:
        moment = when.timestamp()
    except OverflowError:
        moment = FIRST_MOMENT - 1
    if not FIRST_MOMENT <= moment <= LAST_MOMENT:
        problem = f"{name}: {when} is no moment we can tell"
        raise InvalidInput(problem, problems=[problem], hint="Name a year between 1970 and 9999.")
    return moment
