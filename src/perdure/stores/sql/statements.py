"""All SQL that the engines share, by name: one statement each, in `queries/*.sql`, read once.

A file is a row of statements, each begun by `-- name: what_it_does`; the comment below says why it is
so. Whoever needs one looks it up when its module is imported, so a wrong name never waits for its first use.
The text is SQLite's, kept to what other databases say in the same way; an engine that has to say one
differently finds it by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["NAMES", "Run", "Statement", "read_all", "statement"]

Run: TypeAlias = Callable[..., Any]
"""Executes a statement, of a reader or inside a transaction: `run(statement, parameters)`.

What it returns gives rows when iterated, by `fetchone()` and by `fetchall()`; its `get` is the only value of the only
row, or that row, or None. What rows hold the statements say."""
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


class Statement(str):
    """SQL that knows its name."""

    __slots__ = ("name",)
    name: str

    def __new__(cls, name: str, text: str) -> Statement:
        """Name a text.

        Args:
            name (str): As in `-- name: …`.
            text (str): The SQL.

        Returns:
            Statement: Both.
        """
        made = super().__new__(cls, text)
        made.name = name
        return made


def read_all(folder: Path) -> dict[str, Statement]:
    """Read the statements of a folder.

    Args:
        folder (Path): Holds `*.sql`.

    Returns:
        dict[str, Statement]: By name.

    Raises:
        ValueError: A name is there twice.
    """
    found: dict[str, Statement] = {}
    for path in sorted(folder.glob("*.sql")):
        _, *parts = _NAME.split(path.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"statement {name!r} is there twice, again in {path.name}")
            found[name] = Statement(name, _COMMENT.sub("", text).strip().removesuffix(";"))
    return found


_STATEMENTS = read_all(Path(__file__).parent / "queries")
NAMES = frozenset(_STATEMENTS)


def statement(name: str) -> Statement:
    """Look a statement up.

    Args:
        name (str): As in `-- name: …`.

    Returns:
        Statement: Its SQL.
    """
    return _STATEMENTS[name]
