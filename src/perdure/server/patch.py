"""Merging a patch into JSON, as RFC 7396 has it: objects are merged, null takes away, all else replaces."""

from __future__ import annotations

from typing import Any

__all__ = ["merged"]


def merged(target: Any, patch: Any) -> Any:
    """Merge.

    Args:
        target (Any): Plain data; left as it is.
        patch (Any): What is to be different.

    Returns:
        Any: Both in one.
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
