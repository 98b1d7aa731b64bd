"""What Perdure wants to reach: floor and goal of each row, and what was found.

All are medians over rounds; where something is compared, medians of the ratios within each round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.queue.cells import IO_S, IO_SLOTS
from benchmarks.queue.figures import Figures, Spread

__all__ = ["GOALS", "Goal"]
_ARITHMETIC = IO_SLOTS / IO_S
_NAMES = {"sqlite": "SQLite", "pg": "PostgreSQL"}


@dataclass(frozen=True)
class Goal:
    """One claim. `most` is True where less is better; None as floor or goal where there is none."""

    what: str
    unit: str
    found: Callable[[Figures], Spread | None]
    floor: float | None
    goal: float | None
    most: bool = False

    def shown(self, value: float | None) -> str:
        """A figure as the page writes it."""
        if value is None:
            return ""
        return {"%": f"{value:.0%}", "×": f"{value:.1f} ×", "ms": f"{value:.1f} ms", "s": f"{value:.2f} s", "MB": f"{value:.0f} MB"}[
            self.unit
        ]

    def verdict(self, value: float) -> str:
        """What is reached."""

        def reached(bound: float | None) -> bool:
            return bound is not None and (value <= bound if self.most else value >= bound)

        if reached(self.goal):
            return "goal"
        if self.floor is None:
            return "short of the goal"
        return "floor" if reached(self.floor) else "**missed**"


def _ratio(row: str, ours: str, to: str, figure: str = "rate", to_row: str | None = None) -> Callable[[Figures], Spread | None]:
    return lambda figures: figures.ratio(row, ours, to, figure, to_row=to_row)


def _of(row: str, ours: str, figure: str, by: float = 1.0) -> Callable[[Figures], Spread | None]:
    def found(figures: Figures) -> Spread | None:
        spread = figures.of(row, ours, figure)
        return None if spread is None else Spread((spread[0] / by, spread[1] / by, spread[2] / by, spread[3]))

    return found


def _both(engine: str) -> list[Goal]:
    name, ours, limit = _NAMES[engine], f"perdure_{engine}", f"limit_{engine}"
    return [
        Goal(f"50 ms I/O at 200, of the arithmetic 4,000/s, {name}", "%", _of("io", ours, "rate", _ARITHMETIC), 0.80, 0.95),
        Goal(f"put, one caller, of the single limit, {name}", "%", _ratio("put_single", ours, limit), 0.60, 0.80),
        Goal(f"put, 100 callers, of the grouped limit, {name}", "%", _ratio("put_100_callers", ours, limit), 0.40, 0.60),
        Goal(f"start latency p50 at 50/s, {name}", "ms", _of("latency", ours, "p50_ms"), 5, 3, most=True),
        Goal(f"start latency p99 at 50/s, {name}", "ms", _of("latency", ours, "p99_ms"), 20, 8, most=True),
        Goal(f"rate at 1 M waiting, of that at 1 k, {name}", "%", _ratio("waiting_1m", ours, ours, to_row="waiting_1k"), 0.90, 1.0),
        Goal(f"first start with 1 M waiting, {name}", "s", _of("waiting_1m", ours, "first_s"), 1.0, 0.3, most=True),
        Goal(f"worker's RSS, 1,000 runs waiting, {name}", "MB", _of("weight", ours, "rss_mb"), 200, 120, most=True),
    ]


GOALS: tuple[Goal, ...] = (
    Goal("end to end, SQLite, by Huey", "×", _ratio("noop", "perdure_sqlite", "huey_sqlite"), 6, 15),
    Goal("end to end, SQLite, of the limit", "%", _ratio("noop", "perdure_sqlite", "limit_sqlite"), 0.25, 0.60),
    Goal("end to end, PostgreSQL, by Oban", "×", _ratio("noop", "perdure_pg", "oban_pg"), 3, None),
    Goal("end to end, PostgreSQL, by PgQueuer (stores no result)", "×", _ratio("noop", "perdure_pg", "pgqueuer_pg"), None, 2),
    Goal("end to end, PostgreSQL, of the limit", "%", _ratio("noop", "perdure_pg", "limit_pg"), 0.35, 0.60),
    *_both("sqlite"),
    *_both("pg"),
    Goal("PostgreSQL, held transaction, of the clean rate", "%", _of("held", "perdure_pg", "of_clean"), 0.40, 0.60),
    Goal("PostgreSQL, held transaction, last third of the first", "%", _of("held", "perdure_pg", "last_of_first"), 0.90, 0.90),
)
