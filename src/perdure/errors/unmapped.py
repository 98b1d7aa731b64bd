"""Answers of providers that no rule knows: they are judged by their status alone, and worth a rule."""

from __future__ import annotations

import json

from perdure.errors.base import ErrorFacts

__all__ = ["UNMAPPED", "is_unmapped", "suggestion"]

UNMAPPED = "unmapped"
"""What stands where the name of a rule would."""


def is_unmapped(error: ErrorFacts) -> bool:
    """Tell whether no rule knew an error.

    Args:
        error (ErrorFacts): As it was judged.

    Returns:
        bool: True if the status alone decided.
    """
    return error.evidence.rule == UNMAPPED


def suggestion(error: ErrorFacts) -> str:
    """Say how to write a rule for an error.

    Args:
        error (ErrorFacts): One that no rule knew.

    Returns:
        str: Lines for `perdure.toml`; what it becomes is for a person to say.
    """
    seen = error.evidence
    said = {"becomes": error.category.value, "provider": seen.provider, "status": seen.status and [seen.status], "code": seen.provider_code}
    lines = [f"{name} = {json.dumps(value)}" for name, value in said.items() if value]
    return "\n".join(["No rule knows this answer. Say what it is:", "[errors.rules.NAME]", *lines])
