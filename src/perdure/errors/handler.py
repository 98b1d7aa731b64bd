"""Handles errors in one place: what kind it is, how often it came, since when, who is told, and what follows.

`ErrorHandler` is the founding document's name. It counts by code and where the error arose, writes one line to
the log, tells `error.handled` so that metrics and pages can listen, and gives a report to every sink. What an
error means for a message is decided by its facts (`recovery.py`), not here. A process has one, `handler()`, to
which every part brings what it does not raise; `handle` is the short way there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from perdure import clock, events
from perdure.clock import Moment
from perdure.errors.base import AgentFailed, Category, ErrorFacts, PerdureError
from perdure.errors.recovery import Recovery, Then, recovery
from perdure.errors.report import facts_of
from perdure.errors.tracking import Tracked, Tracking

MOST_KINDS = 1000
_LOUD = {Then.WAIT: logging.DEBUG, Then.AGAIN: logging.WARNING, Then.WAIT_FOR_PERSON: logging.WARNING, Then.RETRY: logging.WARNING}
_log = logging.getLogger("perdure.errors")

__all__ = ["ErrorHandler", "Report", "Sink", "Tracked", "handle", "handler"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One error, as sinks are given it."""

    at: Moment
    where: str
    error: ErrorFacts
    count: int
    """How often this kind came so far, in this process."""
    first_seen: Moment
    context: dict[str, Any] = {}
    """Plain values, such as a message's id; never a prompt."""
    over: bool = False
    """The trouble that was reported before has ended; it is told once, and counts as no error."""


class Sink(Protocol):
    """Whoever is told of errors: a webhook, Sentry, OpenTelemetry, or somebody's own."""

    def take(self, report: Report) -> None:
        """Hear of an error.

        Called on whatever thread the error arose on, often an event loop's: it must not wait for anything. What it raises is
        logged and goes no further.

        Args:
            report (Report): What happened, or with `over` what has ended; whatever leaves the process has to be redacted first.
        """
        ...


class ErrorHandler:
    """Takes any exception, says what it is, counts it and reports it. Safe to share between threads.

    Args:
        most_kinds (int): Of so many kinds counts are kept; the one not seen for longest gives way.
    """

    def __init__(self, *, most_kinds: int = MOST_KINDS) -> None:
        self._tracking = Tracking(most_kinds)
        self._sinks: tuple[Sink, ...] = ()

    def add(self, sink: Sink) -> Callable[[], None]:
        """Tell somebody of every error from now on.

        Args:
            sink (Sink): Who.

        Returns:
            Callable[[], None]: Call it to stop.
        """
        self._sinks = (*self._sinks, sink)

        def stop() -> None:
            self._sinks = tuple(one for one in self._sinks if one is not sink)

        return stop

    def handle(
        self, error: BaseException | ErrorFacts, *, where: str = "", what: str | None = None, broke: bool = False, **context: Any
    ) -> ErrorFacts:
        """Classify an error, count it, and report it to the log, to whoever listens and to every sink.

        Args:
            error (BaseException | ErrorFacts): Any exception, or what was already made of one.
            where (str): In which part it arose: `worker`, `server.put`.
            what (str | None): What could not be done because of it, for the log.
            broke (bool): True for what should not happen: the log says where it arose.
            **context (Any): Plain values, such as a message's id; never a secret, never a prompt.

        Returns:
            ErrorFacts: What it is, by which the caller decides.
        """
        facts = error if isinstance(error, ErrorFacts) else facts_of(error, kind=PerdureError if broke else AgentFailed)
        level = logging.ERROR if broke else _LOUD.get(recovery(facts).then, logging.ERROR)
        cause = error if broke and isinstance(error, BaseException) else None
        _write(level, facts, where, what, context, cause=cause)
        self._count(facts, where, context)
        return facts

    def alarm(self, facts: ErrorFacts, *, where: str, what: str, **context: Any) -> None:
        """Report that something is in trouble from now on: whatever kind of error it is, a person should hear of it.

        Args:
            facts (ErrorFacts): What is wrong.
            where (str): Which part found it.
            what (str): What does not go, for the log.
            **context (Any): Plain values; never a secret.
        """
        _write(logging.ERROR, facts, where, what, context)
        self._count(facts, where, context)

    def over(self, facts: ErrorFacts, *, where: str, what: str, **context: Any) -> None:
        """Report that the trouble of an `alarm` has ended. It counts as no error.

        Args:
            facts (ErrorFacts): What was wrong.
            where (str): Which part found it.
            what (str): What goes again, for the log.
            **context (Any): Plain values; never a secret.
        """
        _write(logging.WARNING, facts, where, f"{what}; it was", context)  # as loud as most alarms: who heard one wants to hear its end
        events.tell("error.over", code=facts.code, where=where)
        now = clock.now()
        self._pass_on(Report(at=now, where=where, error=facts, count=0, first_seen=now, context=context, over=True))

    def _count(self, facts: ErrorFacts, where: str, context: dict[str, Any]) -> None:
        now = clock.now()
        tracked = self._tracking.note(facts, where, now)
        about = {"category": facts.category, "where": where, "count": tracked.count, "retryable": facts.retryable}
        events.tell("error.handled", code=facts.code, **about)
        self._pass_on(Report(at=now, where=where, error=facts, count=tracked.count, first_seen=tracked.first_seen, context=context))

    def classify(self, error: BaseException) -> ErrorFacts:
        """Say what an error is, without counting it.

        Args:
            error (BaseException): Any exception.

        Returns:
            ErrorFacts: All that is known of it.
        """
        return facts_of(error)

    def categorise(self, error: BaseException) -> Category:
        """Say what kind of cause an error has, without counting it.

        Args:
            error (BaseException): Any exception.

        Returns:
            Category: One word.
        """
        return facts_of(error).category

    def recover(self, error: BaseException | ErrorFacts) -> Recovery:
        """Say what happens next to a message that met an error.

        Args:
            error (BaseException | ErrorFacts): Any exception, or what was already made of one.

        Returns:
            Recovery: As data, and in words.
        """
        return recovery(error if isinstance(error, ErrorFacts) else facts_of(error))

    def tracked(self) -> list[Tracked]:
        """List what came, most frequent first.

        Returns:
            list[Tracked]: With rates; copies, which do not count on.
        """
        return self._tracking.all(clock.now())

    def report(self) -> dict[str, Any]:
        """Sum up what came.

        Returns:
            dict[str, Any]: `total`, `by_category`, and under `errors` each kind with count, rates, first and last seen.
        """
        kinds = self.tracked()
        by_category: dict[str, int] = {}
        for one in kinds:
            by_category[one.category.value] = by_category.get(one.category.value, 0) + one.count
        errors = [
            {**msgspec.to_builtins(one), "first_seen": clock.iso(one.first_seen), "last_seen": clock.iso(one.last_seen)} for one in kinds
        ]
        return {"total": sum(by_category.values()), "by_category": by_category, "errors": errors}

    def _pass_on(self, report: Report) -> None:
        for sink in self._sinks:
            try:
                sink.take(report)
            except Exception:  # whoever is told must not become a second trouble
                _log.exception("%s could not take a report", type(sink).__name__)


def _write(
    level: int, facts: ErrorFacts, where: str, what: str | None, context: dict[str, Any], *, cause: BaseException | None = None
) -> None:
    named = {f"error_{name}": value for name, value in context.items()}  # a record refuses to have its own fields overwritten
    text = f"{what}: {facts.code}: {facts.message}" if what else f"{facts.code}: {facts.message}"
    _log.log(level, "%s", text, extra={"code": facts.code, "where": where, **named}, exc_info=cause)


_here = ErrorHandler()


def handler() -> ErrorHandler:
    """Find this process's own handler.

    Returns:
        ErrorHandler: Always the same.
    """
    return _here


def handle(error: BaseException | ErrorFacts, *, where: str, what: str | None = None, broke: bool = False, **context: Any) -> ErrorFacts:
    """Bring an error to this process's handler.

    Args:
        error (BaseException | ErrorFacts): Any exception, or what was already made of one.
        where (str): In which part it arose.
        what (str | None): What could not be done because of it, for the log.
        broke (bool): True for what should not happen: the log says where it arose.
        **context (Any): Plain values; never a secret, never a prompt.

    Returns:
        ErrorFacts: What it is.
    """
    return _here.handle(error, where=where, what=what, broke=broke, **context)
