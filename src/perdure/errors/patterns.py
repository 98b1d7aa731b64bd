"""Patterns among errors: which are the same, since when, how often, whether they grow, and with what they come together.

Theory of operation: an error is counted as a *line*: where it came from (code, provider, model, agent, tool, top frame) and
its message with marks in the place of values. Lines are few, whatever comes, and a store keeps them with counts by the
hour. A *pattern* is made of them when somebody looks: lines from the same place whose messages have one template, mined in
the order in which the lines first came. So a pattern is known by the line that began it, and keeps that name.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Category, ErrorFacts
from perdure.errors.templates import ANY, Templates, masked
from perdure.errors.together import Correlation, outstanding
from perdure.errors.unmapped import is_unmapped

__all__ = [
    "BY_CODE",
    "FORGOTTEN_S",
    "HOUR_S",
    "KEPT_HOURS",
    "MOST_LINES",
    "MOST_LISTED",
    "ErrorBook",
    "KeptLine",
    "Line",
    "Noted",
    "Pattern",
    "Trend",
    "patterns_of",
]

HOUR_S = 3600
KEPT_HOURS = 3 * 24
"""For so long counts are kept by the hour."""
MOST_LISTED = 2000
"""So many lines are read at once."""
FORGOTTEN_S = 90 * 24 * 3600.0
"""What was not seen for so long is forgotten."""
MOST_LINES = 50
"""Different messages from one place; what goes beyond is counted together."""
BY_CODE = frozenset({"deadline-passed", "waited-too-long", "poison", "worker-died"})
"""What a store itself writes: the code says it all, the text only since when and how often."""
_PREFIX = "pat_"
_NEW_H, _FEW = 24, 5


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Errors that differ in values alone."""

    code: str
    category: Category
    where: str
    agent: str | None = None
    provider: str | None = None
    model: str | None = None
    tool: str | None = None
    tool_version: str | None = None
    frame: str | None = None
    unmapped: bool = False
    """A provider's answer that no rule knew."""
    message: str = ""
    """With marks in the place of values."""

    @classmethod
    def of(cls, error: ErrorFacts, *, where: str, agent: str | None) -> Line:
        """Say which line an error is counted in.

        Args:
            error (ErrorFacts): What happened; its message already without secrets.
            where (str): In which part: `run` for what ended an attempt of a message.
            agent (str | None): Whose run it was.

        Returns:
            Line: The same for errors that differ in values alone.
        """
        seen = error.evidence
        about = {name: getattr(seen, name) for name in ("provider", "model", "tool", "tool_version")}
        text = error.code if error.code in BY_CODE else masked(error.message)
        frame, unmapped = _frame(seen.trace), is_unmapped(error)
        return cls(
            code=error.code, category=error.category, where=where, agent=agent, frame=frame, unmapped=unmapped, message=text, **about
        )

    @property
    def id(self) -> int:
        """A number below 2^63 that is made of all it says."""
        return int.from_bytes(hashlib.sha256(msgspec.json.encode(self)).digest()[:8], "big") >> 1

    @property
    def family(self) -> int:
        """The same for lines that differ in message and model alone."""
        return msgspec.structs.replace(self, message="", model=None).id

    @property
    def overflow(self) -> Line:
        """Where it is counted when there are too many of its family."""
        return msgspec.structs.replace(self, message=ANY, model=None)


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """How often a line came within one hour."""

    line: Line
    count: int
    first_at: Moment
    last_at: Moment
    sample: str
    """The message that came last, without secrets; of what no rule knew the answer itself."""
    hint: str | None = None


class KeptLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as a store keeps it."""

    id: int
    line: Line
    count: int
    first_at: Moment
    last_at: Moment
    sample: str
    hint: str | None = None
    hours: Mapping[int, int] = {}
    """Hours since 1970 to how often it came in them; only of the last three days."""


class ErrorBook(Protocol):
    """Keeps lines of errors and their counts, for all processes. Proved by `perdure.testing.ErrorsKit`."""

    async def note(self, noted: Sequence[Noted]) -> None:
        """Add what came; it is one transaction. What is old is forgotten on the way.

        Args:
            noted (Sequence[Noted]): Counts since the last time; a line of a family with `MOST_LINES` others is
                counted in its `overflow`.
        """
        ...

    async def lines(self) -> Sequence[KeptLine]:
        """List what came.

        Returns:
            Sequence[KeptLine]: With their hours; those that came last first, at most `MOST_LISTED`.
        """
        ...


class Trend(StrEnum):
    """Where a pattern is going, by its last day and the day before."""

    NEW = "new"  # first seen within a day
    RISING = "rising"  # twice as many as the day before, or more
    STEADY = "steady"
    FALLING = "falling"  # half as many, or fewer
    QUIET = "quiet"  # none within a day


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """Errors from one place whose messages have one template."""

    id: str
    code: str
    category: Category
    where: str
    agent: str | None
    provider: str | None
    tool: str | None
    tool_version: str | None
    frame: str | None
    unmapped: bool
    """Answers of a provider that no rule knew: `sample` is one, and `hint` says how to write a rule."""
    template: str
    sample: str
    hint: str | None
    count: int
    first_at: Moment
    last_at: Moment
    last_day: int
    day_before: int
    trend: Trend
    spike: bool
    """The hour under way, or the one before, has far more than hours of the day before had."""
    hours: Sequence[int]
    """The last 24, oldest first."""
    correlations: Sequence[Correlation]
    lines: frozenset[int]
    """The ids of its lines."""


def patterns_of(kept: Sequence[KeptLine], now: Moment) -> list[Pattern]:
    """Make patterns of lines.

    Args:
        kept (Sequence[KeptLine]): All that are to be compared.
        now (Moment): The time, for trends.

    Returns:
        list[Pattern]: Those that came last first.
    """
    groups = [group for family in _families(kept).values() for group in _mined(family)]
    kin: dict[tuple[str, str], list[KeptLine]] = defaultdict(list)
    for template, lines in groups:
        kin[lines[0].line.code, template] += lines
    made = [_pattern(template, lines, kin[lines[0].line.code, template], kept, now) for template, lines in groups]
    return sorted(made, key=lambda one: (-one.last_at, one.id))


def _families(kept: Sequence[KeptLine]) -> dict[int, list[KeptLine]]:
    families: dict[int, list[KeptLine]] = defaultdict(list)
    for one in sorted(kept, key=lambda line: (line.first_at, line.id)):
        families[one.line.family].append(one)
    return families


def _mined(family: Sequence[KeptLine]) -> list[tuple[str, list[KeptLine]]]:
    templates, groups = Templates(), defaultdict[int, list[KeptLine]](list)
    for one in family:
        groups[templates.add(one.line.message)].append(one)
    return [(templates.template(number), lines) for number, lines in groups.items()]


def _pattern(template: str, lines: Sequence[KeptLine], kin: Sequence[KeptLine], all_lines: Sequence[KeptLine], now: Moment) -> Pattern:
    first, newest = lines[0], max(lines, key=lambda one: one.last_at)
    counts: dict[int, int] = defaultdict(int)
    for one in lines:
        for hour, count in one.hours.items():
            counts[hour] += count
    this = int(now // HOUR_S)
    days = [sum(counts.get(this - back, 0) for back in range(start, start + 24)) for start in (0, 24)]
    line = first.line
    return Pattern(
        id=f"{_PREFIX}{first.id:016x}",
        code=line.code,
        category=line.category,
        where=line.where,
        agent=line.agent,
        provider=line.provider,
        tool=line.tool,
        tool_version=line.tool_version,
        frame=line.frame,
        unmapped=line.unmapped,
        template=template,
        sample=newest.sample,
        hint=newest.hint,
        count=sum(one.count for one in lines),
        first_at=min(one.first_at for one in lines),
        last_at=newest.last_at,
        last_day=days[0],
        day_before=days[1],
        trend=_trend(days[0], days[1], min(one.first_at for one in lines), now),
        spike=_spikes(counts, this),
        hours=[counts.get(this - back, 0) for back in range(23, -1, -1)],
        correlations=_correlations(kin, all_lines),
        lines=frozenset(one.id for one in lines),
    )


def _trend(day: int, before: int, first_at: Moment, now: Moment) -> Trend:
    if not day:
        return Trend.QUIET
    if now - first_at < _NEW_H * HOUR_S:
        return Trend.NEW
    if day >= 2 * before and day - before >= _FEW:
        return Trend.RISING
    return Trend.FALLING if 2 * day <= before else Trend.STEADY


def _spikes(counts: Mapping[int, int], this: int) -> bool:
    """Beyond what chance makes of the usual: three deviations above the mean of the day before, and not just a few."""
    usual = sum(counts.get(this - back, 0) for back in range(2, 26)) / 24
    most = max(counts.get(this, 0), counts.get(this - 1, 0))
    return most >= _FEW and most > usual + 3 * math.sqrt(max(usual, 1.0))


def _correlations(kin: Sequence[KeptLine], all_lines: Sequence[KeptLine]) -> list[Correlation]:
    attributes = ("provider", "model", "agent", "tool", "tool_version")
    return outstanding({what: _by(kin, what) for what in attributes}, {what: _by(all_lines, what) for what in attributes})


def _by(lines: Iterable[KeptLine], what: str) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for one in lines:
        value = getattr(one.line, what)
        if value is not None:
            counts[value] += one.count
    return counts


def _frame(trace: str | None) -> str | None:
    """The innermost place without its line number, which changes with every edit: `pages.py:7 read` is `pages.py read`."""
    if not trace:
        return None
    place, _, name = trace.partition(" < ")[0].partition(" ")
    return f"{place.rpartition(':')[0]} {name}".strip()
