"""Reading the results: medians over rounds, and medians of the ratios within each round."""

from __future__ import annotations

import statistics
from typing import Any

__all__ = ["Figures", "Spread"]


class Spread(tuple[float, float, float, int]):
    """Median, lowest, highest, and of how many rounds."""

    __slots__ = ()

    @property
    def median(self) -> float:
        return self[0]

    @property
    def rounds(self) -> int:
        return self[3]


def _spread(values: list[float]) -> Spread | None:
    return Spread((statistics.median(values), min(values), max(values), len(values))) if values else None


class Figures:
    """Everything that was found.

    Args:
        found (dict[str, Any]): As written by the harness.
    """

    def __init__(self, found: dict[str, Any]) -> None:
        self._cells = found["cells"]

    def of(self, row: str, contender: str, figure: str = "rate") -> Spread | None:
        """A figure over its rounds."""
        return _spread(list(self._by_round(row, contender, figure).values()))

    def ratio(self, row: str, contender: str, to: str, figure: str = "rate", *, to_row: str | None = None) -> Spread | None:
        """One contender's figure by another's (or by its own of another row), round by round."""
        above, below = self._by_round(row, contender, figure), self._by_round(to_row or row, to, figure)
        return _spread([above[n] / below[n] for n in above if n in below and below[n] > 0])

    def text(self, row: str, contender: str, figure: str) -> str | None:
        """The last words of a cell."""
        said = [cell["figures"][figure] for cell in self._of(row, contender) if figure in cell["figures"]]
        return str(said[-1]) if said else None

    def failures(self) -> list[tuple[str, str, int, str]]:
        """Cells that did not come to a figure."""
        return [
            (cell["row"], cell["contender"], cell["round"] + 1, cell["figures"]["failed"])
            for cell in self._cells
            if "failed" in cell["figures"]
        ]

    def _by_round(self, row: str, contender: str, figure: str) -> dict[int, float]:
        return {
            cell["round"]: float(cell["figures"][figure])
            for cell in self._of(row, contender)
            if isinstance(cell["figures"].get(figure), int | float)
        }

    def _of(self, row: str, contender: str) -> list[dict[str, Any]]:
        return [cell for cell in self._cells if cell["row"] == row and cell["contender"] == contender]
