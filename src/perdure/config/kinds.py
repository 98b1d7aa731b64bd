"""Which kinds of provider can be named in the settings: our own, and those that installed packages bring."""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib.metadata import entry_points

__all__ = ["GROUP", "OWN_KINDS", "checked_kind", "foreign_kinds"]

GROUP = "perdure.providers"
"""The group of entry points by which a package brings a kind."""

OWN_KINDS = ("generic", "qwen", "local", "anthropic", "bedrock", "vertex")
_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def checked_kind(kind: str) -> str:
    """Refuse a kind that nobody knows.

    Args:
        kind (str): A name, or `module:Name`.

    Returns:
        str: The same.

    Raises:
        ValueError: As a validator of settings says that something is wrong.
    """
    if kind in OWN_KINDS or _PLACE.fullmatch(kind) or kind in foreign_kinds():
        return kind
    known = [*OWN_KINDS, *foreign_kinds()]
    near = get_close_matches(kind, known, n=1)
    raise ValueError(
        f"{kind[:60]!r} is no kind of provider" + (f", did you mean {near[0]!r}?" if near else f": there is {', '.join(known)}")
    )


def foreign_kinds() -> dict[str, str]:
    """List the kinds of other packages, without loading anything.

    Returns:
        dict[str, str]: Kind to the package that brings it, sorted.
    """
    found = {entry.name: entry.dist.name if entry.dist else "unknown" for entry in entry_points(group=GROUP)}
    return {name: found[name] for name in sorted(found) if name not in OWN_KINDS}
