"""What the command says: data on stdout, words on stderr, errors as one clear line with a hint."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from perdure.cli.exits import Exit, exit_of
from perdure.clock import now
from perdure.errors.base import InvalidInput, PerdureError

MOST_PROBLEMS = 20
_HIDDEN = {code: None for code in (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)) if chr(code) not in "\n\t"}
"""What steers a terminal: control characters, and what turns the direction of writing around."""
_ESCAPED = {code: f"\\u{code:04x}" for code in _HIDDEN if code >= 127}
"""The same, as JSON can say it where it leaves them as they are."""

__all__ = ["ago", "clean", "fields", "json_text", "print_json", "report", "say", "short", "table"]


def say(text: str) -> None:
    """Say something to the person who typed the command.

    Args:
        text (str): Goes to stderr.
    """
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """Print data for programs.

    Args:
        value (Any): Anything that JSON can say.
    """
    sys.stdout.write(json_text(value) + "\n")


def json_text(value: Any) -> str:
    """Write data as JSON that a terminal shows and does not obey.

    Args:
        value (Any): Anything that JSON can say.

    Returns:
        str: On several lines; exactly the same data for whoever reads it.
    """
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode().translate(_ESCAPED)


def clean(text: object) -> str:
    """Take out what would steer a terminal instead of being shown.

    Args:
        text (object): Perhaps from a message, so perhaps hostile.

    Returns:
        str: Without control characters.
    """
    return str(text).translate(_HIDDEN)


def short(text: object, length: int = 60) -> str:
    """Show the beginning of something on one line.

    Args:
        text (object): What to show.
        length (int): At most so many characters.

    Returns:
        str: With `…` at its end if there is more.
    """
    line = " ".join(clean(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def ago(moment: str | None) -> str:
    """Say how long ago something was.

    Args:
        moment (str | None): RFC 3339.

    Returns:
        str: For example `3 min`; the empty string for None.
    """
    if moment is None:
        return ""
    seconds = abs(now() - datetime.fromisoformat(moment).timestamp())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings; lines are cut to the width of a terminal, and not at all elsewhere.

    Args:
        columns (Sequence[str]): Headings.
        rows (Iterable[Sequence[object]]): Cells.
    """
    shown = [[clean(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *shown, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ("", "")
    sys.stdout.write(f"{bold}{_line(columns, widths, room)}{plain}\n")
    for row in shown:
        sys.stdout.write(_line(row, widths, room) + "\n")


def _line(cells: Sequence[str], widths: Sequence[int], room: int | None) -> str:
    line = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
    return line if room is None or len(line) <= room else line[: room - 1] + "…"


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line; those that are None or empty are left out.

    Args:
        pairs (Iterable[tuple[str, object]]): What to print.
    """
    for name, value in pairs:
        if value not in (None, "", {}, []):
            sys.stdout.write(f"{name:<12} {clean(value)}\n")


def report(error: BaseException) -> Exit:
    """Say what ended the command, in one clear line, with what to do about it.

    Args:
        error (BaseException): What it was.

    Returns:
        Exit: The exit code for it.
    """
    if isinstance(error, KeyboardInterrupt):
        say("interrupted")
    elif isinstance(error, PerdureError):
        say(f"perdure: {clean(error.message)}")
        _say_problems(getattr(error, "problems", []) if isinstance(error, InvalidInput) else [])
        if error.hint:
            say(f"hint: {clean(error.hint)}")
    else:
        say(f"perdure: unexpected {type(error).__name__}: {short(error, 300)}")
        say("hint: PERDURE_DEBUG=1 shows where it arose. This is a mistake of Perdure's: please report it.")
    return exit_of(error)


def coloured() -> bool:
    """Tell whether colours are wanted on stderr.

    Returns:
        bool: False without a terminal, or with NO_COLOR.
    """
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _say_problems(problems: Sequence[object]) -> None:
    for problem in problems[:MOST_PROBLEMS]:
        say(f"  {clean(problem)}")
    if len(problems) > MOST_PROBLEMS:
        say(f"  … and {len(problems) - MOST_PROBLEMS} more")
