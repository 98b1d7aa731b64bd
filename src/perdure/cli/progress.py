"""How far many messages are: a bar on a terminal, a line now and then elsewhere. Always on stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from perdure.cli.words import coloured, say

_STEPS = 10

__all__ = ["HowFar"]


class HowFar:
    """Counts ends, and shows the count.

    Args:
        what (str): What is under way.
        total (int): How many there are.
    """

    def __init__(self, what: str, total: int) -> None:
        self.ended: int = 0
        self.failed: int = 0
        self._what = what
        self._total = total
        self._bar = _bar() if sys.stderr.isatty() else None
        self._row = self._bar.add_task(what, total=total, failed="") if self._bar else None

    def __enter__(self) -> Self:
        """Begin to show.

        Returns:
            Self: The same.
        """
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop showing.

        Args:
            kind (type[BaseException] | None): As Python gives it.
            error (BaseException | None): As Python gives it.
            trace (TracebackType | None): As Python gives it.
        """
        if self._bar:
            self._bar.stop()

    def count(self, number: int = 1, *, failed: bool = False) -> None:
        """Count some more.

        Args:
            number (int): How many.
            failed (bool): Whether they ended badly.
        """
        before = self.ended * _STEPS // self._total
        self.ended += number
        self.failed += number if failed else 0
        if self._bar and self._row is not None:
            self._bar.update(self._row, completed=self.ended, failed=f"{self.failed} failed" if self.failed else "")
        elif self.ended * _STEPS // self._total > before:
            say(f"{self._what}: {self.ended} of {self._total}" + (f", {self.failed} failed" if self.failed else ""))


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, no_color=not coloured(), highlight=False),
    )
