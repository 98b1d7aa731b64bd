from __future__ import annotations

import pytest

from perdure import Run, SyncRun, agent
from perdure.worker.slots import Slots


@agent(version="a1")
async def quick(run: Run) -> None:
    """Works on the event loop."""


@agent(version="s1")
def blocking(run: SyncRun) -> None:
    """Works in a thread."""


def test_there_is_room_for_as_many_as_there_are_slots() -> None:
    slots = Slots({"quick": quick}, limit=2, threads=1)
    assert slots.room() == (2, {"quick": "a1"})
    slots.take(quick)
    slots.take(quick)
    assert slots.room()[0] == 0
    slots.free(quick)
    assert slots.room()[0] == 1
    assert slots.working == 1


def test_while_threads_are_scarce_no_more_is_taken_than_could_run() -> None:
    slots = Slots({"quick": quick, "blocking": blocking}, limit=10, threads=2)
    assert slots.room() == (2, {"quick": "a1", "blocking": "s1"})
    slots.take(blocking)
    slots.take(quick)
    assert slots.room() == (1, {"quick": "a1", "blocking": "s1"})


def test_without_a_free_thread_only_async_agents_are_served() -> None:
    slots = Slots({"quick": quick, "blocking": blocking}, limit=10, threads=1)
    slots.take(blocking)
    assert slots.room() == (9, {"quick": "a1"})
    slots.free(blocking)
    assert slots.room() == (1, {"quick": "a1", "blocking": "s1"})


def test_freed_room_is_told_only_if_it_was_wanted() -> None:
    slots = Slots({"quick": quick}, limit=2, threads=1)
    slots.take(quick)
    slots.room()
    slots.free(quick)
    assert not slots.freed.is_set()
    slots.take(quick)
    slots.take(quick)
    slots.room()
    slots.free(quick)
    assert slots.freed.is_set()


def test_endings_that_cannot_be_written_hold_new_messages_back_after_a_while() -> None:
    slots = Slots({"quick": quick}, limit=2, threads=1)
    for _ in range(4):
        slots.take(quick)
        slots.free(quick)
    assert slots.room()[0] == 0
    slots.settled()
    assert slots.freed.is_set()
    assert slots.room()[0] == 1


def worked(slots: Slots, count: int) -> None:
    for _ in range(count):
        slots.take(quick)
        slots.free(quick)
        slots.settled()


def test_where_messages_are_done_quickly_a_few_are_fetched_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("perdure.worker.slots.awake", lambda: now)
    slots = Slots({"quick": quick}, limit=2, threads=1)
    worked(slots, 1000)
    now = 0.1
    assert slots.room()[0] == 2 + 250
    now = 0.2
    assert slots.room()[0] == 2


def test_where_messages_take_seconds_none_is_fetched_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("perdure.worker.slots.awake", lambda: now)
    slots = Slots({"quick": quick}, limit=20, threads=1)
    worked(slots, 20)
    now = 1.0
    assert slots.room()[0] == 20


def test_with_work_in_hand_room_is_told_when_a_few_can_be_fetched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("perdure.worker.slots.awake", lambda: now)
    slots = Slots({"quick": quick}, limit=10, threads=1)
    worked(slots, 50)
    now = 0.1
    for _ in range(10):
        slots.take(quick)
    slots.queue(slots.room()[0])
    assert slots.room()[0] == 0
    slots.queue(-1)
    slots.free(quick)
    assert not slots.freed.is_set()
    slots.queue(-8)
    slots.free(quick)
    slots.free(quick)
    assert slots.freed.is_set()
