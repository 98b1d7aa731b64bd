from __future__ import annotations

import queue
import threading

import pytest

from perdure.errors.base import StoreBusy, WorkerFenced
from perdure.testing import FakeClock
from perdure.worker.heartbeat import Heartbeat

PATIENCE_S = 10.0


class ScriptedHeart:
    """Does at each beat what the test says, and says that it did."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)
        self.beats: queue.Queue[str] = queue.Queue()
        self.closed = threading.Event()

    def beat(self) -> None:
        what = self.script.pop(0) if self.script else None
        self.beats.put(type(what).__name__)
        if what is not None:
            raise what

    def close(self) -> None:
        self.closed.set()


def heartbeat(heart: ScriptedHeart, clock: FakeClock) -> tuple[Heartbeat, threading.Event]:
    fenced = threading.Event()
    return Heartbeat(heart, on_fenced=fenced.set, now=clock.now), fenced


def test_it_beats_at_once_and_closes_its_heart_at_the_end() -> None:
    heart = ScriptedHeart()
    beating, fenced = heartbeat(heart, FakeClock())
    beating.start()
    assert heart.beats.get(timeout=PATIENCE_S) == "NoneType"
    beating.stop()
    assert heart.closed.is_set()
    assert not fenced.is_set()


def test_effects_are_allowed_for_six_seconds_after_the_last_committed_beat() -> None:
    clock = FakeClock()
    beating, _ = heartbeat(ScriptedHeart(), clock)
    assert beating.effects_allowed()
    clock.pass_by(seconds=5.9)
    assert beating.effects_allowed()
    clock.pass_by(seconds=0.2)
    assert not beating.effects_allowed()
    assert beating.age_s > 6


def test_a_beat_that_was_not_committed_does_not_count_and_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.worker.heartbeat.BEAT_S", 3600.0)
    clock, heart = FakeClock(), ScriptedHeart(StoreBusy("locked"), None)
    beating, _ = heartbeat(heart, clock)
    clock.pass_by(seconds=7)
    beating.start()
    assert heart.beats.get(timeout=PATIENCE_S) == "StoreBusy"
    assert not beating.effects_allowed()
    assert heart.beats.get(timeout=PATIENCE_S) == "NoneType"  # sooner than after one that was committed
    beating.stop()
    assert beating.effects_allowed()


def test_a_worker_declared_dead_is_told_once_and_may_do_nothing_any_more() -> None:
    heart = ScriptedHeart(WorkerFenced("too late"))
    beating, fenced = heartbeat(heart, FakeClock())
    beating.start()
    assert fenced.wait(PATIENCE_S)
    assert heart.closed.wait(PATIENCE_S)
    assert beating.fenced
    assert not beating.effects_allowed()
    beating.stop()
    assert heart.beats.qsize() == 1


def test_a_beat_that_breaks_does_not_end_the_beating() -> None:
    heart = ScriptedHeart(ValueError("a bug"), None)
    beating, fenced = heartbeat(heart, FakeClock())
    beating.start()
    assert heart.beats.get(timeout=PATIENCE_S) == "ValueError"
    assert heart.beats.get(timeout=PATIENCE_S) == "NoneType"
    beating.stop()
    assert not fenced.is_set()
