"""The text of a statement for PostgreSQL: its own by the same name in `sql/*.sql`, else the common one.

Of the common text the placeholders are numbered, and the few words of SQLite's that have one exact counterpart
are put into PostgreSQL's; whatever else differs has a text of its own. Statements that SQLite reads row by row,
as far as they are needed, are read in pages here: each page begins behind the last row of the one before, by
the index.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from perdure.stores.sql.statements import NAMES, Statement, read_all

__all__ = ["OWN_NAMES", "Paging", "Text", "own", "paging_of", "text_of"]

_OWN = read_all(Path(__file__).parent / "sql")
OWN_NAMES = frozenset(_OWN)
_MARK, _REACH = re.compile(r"\?(\d*)"), "?reach"
_READS = re.compile(r"^\s*(SELECT|WITH RECURSIVE)\b", re.IGNORECASE)
_RETURNS = re.compile(r"\bRETURNING\b", re.IGNORECASE)
_WORDS = (
    (re.compile(r"\bifnull\("), "coalesce("),
    (re.compile(r" INDEXED BY \w+"), ""),
    (re.compile(r"\bIS (?!NOT\b|NULL\b)"), "IS NOT DISTINCT FROM "),
    (re.compile(r"SELECT value FROM json_each\((\?\d*)\)"), r"SELECT jsonb_array_elements_text(\1::text::jsonb)::bigint"),
    (re.compile(r"^INSERT OR IGNORE INTO (.*)$", re.DOTALL), r"INSERT INTO \1 ON CONFLICT DO NOTHING"),
)
_PAGE = 64
_BY_ID = {
    *("list_all", "list_ready", "list_ready_of", "list_later", "list_later_of", "list_waiting", "list_waiting_of"),
    *("list_held", "list_held_of", "list_session"),
    *("list_leased", "list_ended", "list_ended_of", "list_dead_code", "list_dead_code_of"),
}
"""Read downwards from the id that is their last parameter; the id is their first column."""
_BY_KEY = {"ready_most_urgent", "ready_earliest"}
"""Their own text takes, behind the common parameters, the key of the row before: priority, tag and id."""


class Text(NamedTuple):
    """A statement as PostgreSQL is told it."""

    text: str
    reads: bool
    """It changes nothing."""
    returns: bool
    """Each row that it changes is returned."""
    reaches: bool = False
    """Its last parameter is the number below which no change appears any more."""


class Paging(NamedTuple):
    """How to read a statement in pages."""

    text: str
    by_id: bool
    size: int = _PAGE

    def first(self, given: Sequence[Any]) -> Sequence[Any]:
        """Give the parameters of the first page.

        Args:
            given (Sequence[Any]): Those of the statement.

        Returns:
            Sequence[Any]: Those of the text.
        """
        return given if self.by_id else (*given, -1, -1, -1)

    def next(self, given: Sequence[Any], last: Sequence[Any]) -> Sequence[Any]:
        """Give the parameters of the page behind a row.

        Args:
            given (Sequence[Any]): Those of the statement.
            last (Sequence[Any]): The last row so far.

        Returns:
            Sequence[Any]: Those of the text.
        """
        return (*given[:-1], last[0]) if self.by_id else (*given, *last[:3])


def own(name: str) -> Statement:
    """Look up a statement that only PostgreSQL has.

    Args:
        name (str): As in `-- name: …`.

    Returns:
        Statement: Its SQL.
    """
    return _OWN[name]


@cache
def text_of(statement: str) -> Text:
    """Give the text of a statement.

    Args:
        statement (str): One of `stores/sql`, or our own.

    Returns:
        Text: It.
    """
    name = getattr(statement, "name", "")
    text = str(_OWN[name]) if name in _OWN else _translated(statement)
    reaches = _REACH in text
    if reaches:
        text = text.replace(_REACH, f"?{max((int(mark) for mark in _MARK.findall(text) if mark), default=0) + 1}::bigint")
    return Text(_numbered(text), _READS.match(text) is not None, _RETURNS.search(text) is not None, reaches)


@cache
def paging_of(statement: str) -> Paging | None:
    """Say how a statement is read in pages.

    Args:
        statement (str): One of `stores/sql`.

    Returns:
        Paging | None: None if it is not.
    """
    name = getattr(statement, "name", "")
    if name not in _BY_ID | _BY_KEY:
        return None
    return Paging(f"{text_of(statement).text} LIMIT {_PAGE}", name in _BY_ID)


def _translated(text: str) -> str:
    for theirs, ours in _WORDS:
        text = theirs.sub(ours, text)
    return text


def _numbered(text: str) -> str:
    count = 0

    def number(mark: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return f"${mark[1] or count}"

    return _MARK.sub(number, text)


assert NAMES >= _BY_ID | _BY_KEY, "a statement that is read in pages has another name now"
