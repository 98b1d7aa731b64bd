"""All SQL, by name: one statement each, in `sql/*.sql`, read once.

A file is a row of statements, each begun by `-- name: what_it_does`; the comment below says why it is
so. Whoever needs one looks it up when its module is imported, so a wrong name never waits for its first use.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["NAMES", "statement"]

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


def _read_all(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.sql")):
        _, *parts = _NAME.split(path.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"statement {name!r} is there twice, again in {path.name}")
            found[name] = _COMMENT.sub("", text).strip().removesuffix(";")
    return found


_STATEMENTS = _read_all(Path(__file__).parent / "sql")
NAMES = frozenset(_STATEMENTS)


def statement(name: str) -> str:
    """Look a statement up.

    Args:
        name (str): As in `-- name: …`.

    Returns:
        str: Its SQL.
    """
    return _STATEMENTS[name]
