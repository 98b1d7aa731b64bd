"""Errors handled in one place: what kind, how often, since when, and who is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from perdure import events
from perdure.errors.base import Category, RateLimited, StoreFull
from perdure.errors.handler import ErrorHandler


def test_an_error_is_categorised_and_its_facts_come_back() -> None:
    facts = ErrorHandler().handle(RateLimited("slow down", retry_at=5.0), where="worker")
    assert (facts.code, facts.category, facts.retryable, facts.retry_at) == ("provider-rate-limited", Category.RATE_LIMIT, True, 5.0)


def test_a_foreign_exception_is_an_error_too() -> None:
    handler = ErrorHandler()
    assert handler.categorise(ZeroDivisionError("x")) is Category.AGENT
    assert handler.tracked() == []  # asking what it is counts nothing
    assert handler.handle(ZeroDivisionError("x")).message == "x"


def test_errors_are_counted_by_kind_with_first_and_last_seen() -> None:
    handler = ErrorHandler()
    for _ in range(3):
        handler.handle(StoreFull("no room"), where="store")
    handler.handle(StoreFull("none at all"), where="journal")
    most, least = handler.tracked()
    assert (most.code, most.where, most.count) == ("store-full", "store", 3)
    assert (least.where, least.count, least.last_message) == ("journal", 1, "none at all")
    assert most.first_seen <= most.last_seen


def test_the_report_sums_up() -> None:
    handler = ErrorHandler()
    handler.handle(StoreFull("no room"))
    handler.handle(RateLimited("slow down"))
    report = handler.report()
    assert report["total"] == 2
    assert report["by_category"] == {"storage": 1, "rate-limit": 1}
    assert report["errors"][0]["first_seen"].endswith("Z")


def test_what_is_copied_does_not_count_on() -> None:
    handler = ErrorHandler()
    handler.handle(StoreFull("no room"))
    [before] = handler.tracked()
    handler.handle(StoreFull("no room"))
    assert before.count == 1


def test_the_log_and_whoever_listens_are_told(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Mapping[str, Any]] = []
    stop = events.listen("error.", lambda name, facts: heard.append(facts))
    with caplog.at_level(logging.WARNING, "perdure.errors"):
        ErrorHandler().handle(StoreFull("no room"), where="store", message="msg_1", name="shadows the log's own field")
    stop()
    assert [record.getMessage() for record in caplog.records] == ["store-full: no room"]
    assert caplog.records[0].error_message == "msg_1"  # type: ignore[attr-defined]
    assert heard[0]["code"] == "store-full"
    assert heard[0]["count"] == 1


def test_an_error_that_will_be_retried_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    ErrorHandler().handle(RateLimited("slow down"))
    ErrorHandler().handle(ValueError("x").with_traceback(None))
    assert caplog.records[0].levelno == logging.WARNING


def test_only_so_many_kinds_are_kept() -> None:
    handler = ErrorHandler(most_kinds=3)
    for n in range(10):
        handler.handle(StoreFull("no room"), where=str(n))
    assert sorted(kind.where for kind in handler.tracked()) == ["7", "8", "9"]


def test_threads_lose_no_count() -> None:
    handler = ErrorHandler()
    threads = [threading.Thread(target=lambda: [handler.handle(StoreFull("x")) for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert handler.tracked()[0].count == 800
