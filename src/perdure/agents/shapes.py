"""Whether data has the shape that a JSON Schema asks for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.security.validator import Validator

__all__ = ["problems_of"]


def problems_of(data: Any, schema: dict[str, Any] | None, *, at: str) -> list[str]:
    """Say what is wrong with data.

    Args:
        data (Any): What JSON can say.
        schema (dict[str, Any] | None): Its shape; None takes anything.
        at (str): What it is called in the lines.

    Returns:
        list[str]: One line for each thing; empty if it fits.
    """
    return [] if schema is None else _validator().check(data, schema, at=at)


@cache
def _validator() -> Validator:
    from perdure.security.validator import Validator  # late: it imports jsonschema_rs

    return Validator()
