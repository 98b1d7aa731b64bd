from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from perdure.testing import FakeClock
from perdure.worker.threads import Threads

PATIENCE_S = 10.0


def until(true: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(10_000):
        if true():
            return
        done.wait(0.001)
    raise AssertionError("it never became true")


def test_a_call_returns_its_result_and_raises_its_error() -> None:
    threads = Threads(1)
    assert threads.submit(pow, 2, 5).result(PATIENCE_S) == 32
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 / 0).result(PATIENCE_S)
    threads.shutdown()


def test_no_more_threads_run_than_the_limit() -> None:
    threads, go, running = Threads(2), threading.Event(), []

    def call() -> None:
        running.append(1)
        go.wait(PATIENCE_S)

    calls = [threads.submit(call) for _ in range(5)]
    until(lambda: len(running) == 2)
    assert [call.running() for call in calls].count(True) == 2
    go.set()
    for each in calls:
        each.result(PATIENCE_S)
    assert len(running) == 5
    threads.shutdown()


def test_a_thread_is_used_again() -> None:
    threads = Threads(3)
    names = {threads.submit(threading.get_ident).result(PATIENCE_S) for _ in range(20)}
    assert len(names) <= 3
    threads.shutdown()


def test_a_call_given_up_makes_room_for_another() -> None:
    threads, go = Threads(1), threading.Event()
    stuck = threads.submit(go.wait, PATIENCE_S)
    until(stuck.running)
    next_one = threads.submit(pow, 2, 3)
    assert not stuck.cancel()
    assert next_one.result(PATIENCE_S) == 8
    go.set()
    assert stuck.result(PATIENCE_S) is True  # its thread ends, and takes no more calls than the limit allows
    assert threads.submit(pow, 2, 4).result(PATIENCE_S) == 16
    threads.shutdown()


def test_a_call_counts_as_hung_once_it_was_given_up_and_goes_on() -> None:
    clock, go = FakeClock(), threading.Event()
    threads = Threads(1, now=clock.now)
    stuck = threads.submit(go.wait, PATIENCE_S)
    until(stuck.running)
    clock.pass_by(seconds=100)
    assert threads.hung() == 0
    stuck.cancel()
    clock.pass_by(seconds=4.9)
    assert threads.hung() == 0
    clock.pass_by(seconds=0.2)
    assert threads.hung() == 1
    go.set()
    until(lambda: threads.hung() == 0)
    threads.shutdown()


async def test_giving_up_an_awaited_call_is_noticed_too() -> None:
    threads, go = Threads(1), threading.Event()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(threads, go.wait, PATIENCE_S), 0.01)
    assert threads.hung(after_s=0) == 1
    go.set()
    threads.shutdown()


def test_shut_down_threads_take_no_call_and_cancel_those_that_wait() -> None:
    threads, go = Threads(1), threading.Event()
    stuck = threads.submit(go.wait, PATIENCE_S)
    until(stuck.running)
    waiting = threads.submit(pow, 2, 3)
    threads.shutdown(cancel_futures=True)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError):
        threads.submit(pow, 2, 3)
    go.set()
    assert stuck.result(PATIENCE_S) is True


def test_a_hung_thread_does_not_keep_the_process() -> None:
    code = "import threading; from perdure.worker.threads import Threads; t = Threads(1); t.submit(threading.Event().wait); print('end')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "end\n"
