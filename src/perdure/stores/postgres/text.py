"""Any text can be kept: PostgreSQL's knows no NUL character, so one is written as two that it knows.

Python's strings, JSON's and SQLite's may hold one, and what one engine keeps the other must keep as well.
"""

from __future__ import annotations

__all__ = ["from_kept", "to_kept"]

_ESCAPE, _NUL = "\x1a", "\x00"
_AN_ESCAPE, _A_NUL = _ESCAPE + "s", _ESCAPE + "0"


def to_kept(text: str) -> str:
    """Write a text as it is kept.

    Args:
        text (str): Any.

    Returns:
        str: The same for nearly every text.
    """
    if _NUL in text or _ESCAPE in text:
        return text.replace(_ESCAPE, _AN_ESCAPE).replace(_NUL, _A_NUL)
    return text


def from_kept(text: str) -> str:
    """Read a text that was kept.

    Args:
        text (str): As `to_kept` made it.

    Returns:
        str: What it was made of.
    """
    return text.replace(_A_NUL, _NUL).replace(_AN_ESCAPE, _ESCAPE) if _ESCAPE in text else text
