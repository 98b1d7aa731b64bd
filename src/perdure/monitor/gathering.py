"""Gathers errors of this process by line, so that they are written to the store now and then and not one by one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from perdure.clock import Clock, SystemClock
from perdure.errors.base import Category, ErrorFacts, StoreError
from perdure.errors.handler import ErrorHandler, Report
from perdure.errors.patterns import BY_CODE, HOUR_S, ErrorBook, Line, Noted
from perdure.errors.unmapped import suggestion
from perdure.events import listen
from perdure.security.secrets import redact

__all__ = ["NOTE_S", "Gathering", "line_of"]

NOTE_S = 2.0
"""How often what was gathered is written."""
_MOST = 2000
_LONGEST, _LONGEST_ANSWER = 500, 2000


class Gathering:
    """A sink that counts, until somebody writes it down.

    Args:
        book (ErrorBook): Where counts are kept.
        clock (Clock | None): The book's time; None for the machine's.
    """

    def __init__(self, book: ErrorBook, clock: Clock | None = None) -> None:
        self._book = book
        self._clock = clock or SystemClock()
        self._counts: dict[tuple[Line, int], Noted] = {}
        self._counting = threading.Lock()
        self._stops: deque[Callable[[], None]] = deque()

    def begin(self, handler: ErrorHandler) -> None:
        """Hear of this process's errors, and of what the store itself gives up.

        Args:
            handler (ErrorHandler): Of this process.
        """
        self._stops += [handler.add(self), listen("message.dead", self._buried), listen("try.passed-on", self._passed_on)]

    async def end(self) -> None:
        """Hear no more, and write what there is."""
        while self._stops:
            self._stops.pop()()
        try:
            await self.write()
        except StoreError:  # it is going away too: counts of two seconds are no reason to hold it
            return

    def take(self, report: Report) -> None:
        """Count an error; the end of one is none."""
        if not report.over:
            self._count(report.error, where=report.where, agent=report.context.get("agent"))

    async def write(self) -> float:
        """Write what was gathered.

        Returns:
            float: Seconds until the next time.

        Raises:
            StoreError: The store did not take it; it is kept for the next time.
        """
        with self._counting:
            gathered, self._counts = self._counts, {}
        if gathered:
            try:
                await self._book.note(list(gathered.values()))
            except BaseException:
                for noted in gathered.values():
                    self._add(noted)
                raise
        return NOTE_S

    def _buried(self, _: str, facts: Mapping[str, Any]) -> None:
        """What ended with no run at hand: its deadline passed, its workers died."""
        code = facts.get("code")
        if code in BY_CODE:
            category = Category.POISON if code == "poison" else Category.DEADLINE
            error = ErrorFacts(code=code, category=category, message=code)
            self._count(error, where="run", agent=facts.get("agent"))

    def _passed_on(self, _: str, facts: Mapping[str, Any]) -> None:
        """What another deployment made good: no error of a message, and nobody is woken by it, but a pattern all the same."""
        self._count(facts["error"], where="passed-on", agent=facts.get("agent"))

    def _count(self, error: ErrorFacts, *, where: str, agent: Any) -> None:
        at = self._clock.now()
        line = line_of(error, where=where, agent=agent if isinstance(agent, str) else None)
        said, longest = (error.evidence.said or error.message, _LONGEST_ANSWER) if line.unmapped else (error.message, _LONGEST)
        hint = suggestion(error) if line.unmapped else error.hint
        self._add(Noted(line=line, count=1, first_at=at, last_at=at, sample=redact(said)[:longest], hint=hint and redact(hint)))

    def _add(self, noted: Noted) -> None:
        with self._counting:
            key = (noted.line, int(noted.last_at // HOUR_S))
            if key not in self._counts and len(self._counts) >= _MOST:
                key = (noted.line.overflow, key[1])
            so_far = self._counts.get(key)
            if so_far is None:
                self._counts[key] = msgspec.structs.replace(noted, line=key[0])
                return
            newest = noted if noted.last_at >= so_far.last_at else so_far
            self._counts[key] = Noted(
                line=key[0],
                count=so_far.count + noted.count,
                first_at=min(so_far.first_at, noted.first_at),
                last_at=newest.last_at,
                sample=newest.sample,
                hint=newest.hint,
            )


def line_of(error: ErrorFacts, *, where: str, agent: str | None) -> Line:
    """Say which line an error is counted in: of a running process as of a dead letter.

    Args:
        error (ErrorFacts): As it happened, or as it was kept.
        where (str): In which part; `run` for what ended an attempt.
        agent (str | None): Whose run it was.

    Returns:
        Line: Without secrets.
    """
    return Line.of(msgspec.structs.replace(error, message=redact(error.message)), where=where, agent=agent)
