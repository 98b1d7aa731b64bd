"""Handles errors in one place: what kind it is, how often it came, since when, and who is told.

`ErrorHandler` is the founding document's name. It counts by code, category and where the error arose,
keeps first and last seen, writes one line to the log, and tells `error.handled`, so that metrics and
pages can listen. What an error means for a message is decided by its facts, not here.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import Any

import msgspec

from perdure import clock, events
from perdure.clock import Moment
from perdure.errors.base import Category, ErrorFacts
from perdure.errors.report import facts_of

MOST_KINDS = 1000
_log = logging.getLogger("perdure.errors")

__all__ = ["ErrorHandler", "Tracked"]


class Tracked(msgspec.Struct, kw_only=True):
    """How often one kind of error came."""

    code: str
    category: Category
    where: str
    count: int = 0
    first_seen: Moment
    last_seen: Moment
    last_message: str


class ErrorHandler:
    """Takes any exception, says what it is, counts it and reports it. Safe to share between threads.

    Args:
        most_kinds (int): Of so many kinds counts are kept; the one not seen for longest gives way.
    """

    def __init__(self, *, most_kinds: int = MOST_KINDS) -> None:
        self._most_kinds = most_kinds
        self._kinds: OrderedDict[tuple[str, str], Tracked] = OrderedDict()
        self._counting = threading.Lock()

    def handle(self, error: BaseException, *, where: str = "", **context: Any) -> ErrorFacts:
        """Categorise an error, count it, and report it to the log and to whoever listens.

        Args:
            error (BaseException): Any exception.
            where (str): In which part it arose: `worker`, `server.put`.
            **context (Any): Plain values for the log, such as a message's id; never a secret, never a prompt.

        Returns:
            ErrorFacts: What it is, by which the caller decides.
        """
        facts = facts_of(error)
        tracked = self._track(facts, where)
        level = logging.WARNING if facts.retryable else logging.ERROR
        _log.log(level, "%s: %s", facts.code, facts.message, extra={"code": facts.code, "where": where, **_named(context)})
        events.tell("error.handled", code=facts.code, category=facts.category, where=where, count=tracked.count, retryable=facts.retryable)
        return facts

    def categorise(self, error: BaseException) -> Category:
        """Say what kind of cause an error has, without counting it.

        Args:
            error (BaseException): Any exception.

        Returns:
            Category: One word.
        """
        return facts_of(error).category

    def tracked(self) -> list[Tracked]:
        """List what came, most frequent first.

        Returns:
            list[Tracked]: Copies; they do not count on.
        """
        with self._counting:
            copies = [msgspec.structs.replace(one) for one in self._kinds.values()]
        return sorted(copies, key=lambda one: (-one.count, one.code))

    def report(self) -> dict[str, Any]:
        """Sum up what came.

        Returns:
            dict[str, Any]: `total`, `by_category`, and under `errors` each kind with count, first and last seen.
        """
        kinds = self.tracked()
        by_category: dict[str, int] = {}
        for one in kinds:
            by_category[one.category.value] = by_category.get(one.category.value, 0) + one.count
        errors = [
            {**msgspec.to_builtins(one), "first_seen": clock.iso(one.first_seen), "last_seen": clock.iso(one.last_seen)} for one in kinds
        ]
        return {"total": sum(by_category.values()), "by_category": by_category, "errors": errors}

    def _track(self, facts: ErrorFacts, where: str) -> Tracked:
        now = clock.now()
        with self._counting:
            kind = self._kinds.get((facts.code, where))
            if kind is None:
                kind = Tracked(
                    code=facts.code, category=facts.category, where=where, first_seen=now, last_seen=now, last_message=facts.message
                )
                self._kinds[facts.code, where] = kind
            kind.count += 1
            kind.last_seen, kind.last_message = now, facts.message
            self._kinds.move_to_end((facts.code, where))
            while len(self._kinds) > self._most_kinds:
                self._kinds.popitem(last=False)
            return msgspec.structs.replace(kind)


def _named(context: dict[str, Any]) -> dict[str, Any]:
    """Keep the log's own fields safe: a record refuses to have them overwritten."""
    return {f"error_{name}": value for name, value in context.items()}
