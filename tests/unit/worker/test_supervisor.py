"""Real processes, but tiny ones: each says that it began, then does what the test wants."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from perdure.errors.base import ConfigError
from perdure.worker.child import run_child
from perdure.worker.end import WorkerEnd
from perdure.worker.lifeline import VARIABLE, watch_lifeline
from perdure.worker.supervisor import Supervisor, pause_before_restart_s

PATIENCE_S = 30.0
BEGIN = "import os, signal, sys, time; from pathlib import Path; f = Path(sys.argv[1]) / str(os.getpid()); f.touch();"
OBEYS = BEGIN + "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); f.write_text('up'); time.sleep(60)"
STUBBORN = BEGIN + "signal.signal(signal.SIGTERM, signal.SIG_IGN); f.write_text('up'); time.sleep(60)"


def command(code: str, folder: Path) -> list[str]:
    return [sys.executable, "-S", "-c", code, str(folder)]


async def begun(folder: Path, count: int) -> list[int]:
    """Wait until so many children have said that they run."""
    async with asyncio.timeout(PATIENCE_S):
        while len(found := [file for file in folder.iterdir() if file.read_text() == "up"]) < count:
            await asyncio.sleep(0.01)
    return [int(file.name) for file in found]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_keeps_as_many_processes_as_asked_and_ends_them_in_order(tmp_path: Path) -> None:
    supervisor, stop = Supervisor(command(OBEYS, tmp_path), processes=2), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    pids = await begun(tmp_path, 2)
    assert supervisor.pids == sorted(pids)
    stop.set()
    await asyncio.wait_for(running, PATIENCE_S)
    assert not any(lives(pid) for pid in pids)
    assert supervisor.pids == []


async def test_a_process_that_was_killed_is_replaced(tmp_path: Path) -> None:
    supervisor, stop = Supervisor(command(OBEYS, tmp_path), processes=1), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    [first] = await begun(tmp_path, 1)
    os.kill(first, signal.SIGKILL)
    both = await begun(tmp_path, 2)
    assert len(both) == 2
    stop.set()
    await asyncio.wait_for(running, PATIENCE_S)


async def test_a_process_that_ends_in_order_although_nobody_asked_the_supervisor_is_replaced(tmp_path: Path) -> None:
    supervisor, stop = Supervisor(command(OBEYS, tmp_path), processes=1), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    [first] = await begun(tmp_path, 1)
    os.kill(first, signal.SIGTERM)
    await begun(tmp_path, 2)
    assert not lives(first)
    stop.set()
    await asyncio.wait_for(running, PATIENCE_S)


async def test_a_process_that_cannot_be_used_ends_all_and_is_not_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor(command(BEGIN + "sys.exit(2)", tmp_path), processes=2)
    with pytest.raises(ConfigError):
        await asyncio.wait_for(supervisor.run(asyncio.Event()), PATIENCE_S)
    assert len(list(tmp_path.iterdir())) <= 2
    assert supervisor.pids == []


async def test_a_command_that_does_not_exist_is_tried_again_until_stopped(tmp_path: Path) -> None:
    supervisor, stop = Supervisor([str(tmp_path / "nothing")], processes=1), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(running, PATIENCE_S)


async def test_no_processes_means_waiting_for_the_end(tmp_path: Path) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(Supervisor(command(OBEYS, tmp_path), processes=0).run(stop))
    await asyncio.sleep(0)
    assert not running.done()
    stop.set()
    await asyncio.wait_for(running, PATIENCE_S)


async def test_a_child_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.worker.child.KILL_AFTER_S", 0.05)
    stop = asyncio.Event()
    running = asyncio.create_task(run_child(command(STUBBORN, tmp_path), stop, grace_s=0.05))
    await begun(tmp_path, 1)
    stop.set()
    assert await asyncio.wait_for(running, PATIENCE_S) == -signal.SIGKILL


async def test_a_child_learns_by_its_lifeline_that_its_parent_is_gone(tmp_path: Path) -> None:
    child = (
        BEGIN
        + f"fd = int(os.environ['{VARIABLE}']); f.write_text('up'); os.read(fd, 1); (f.parent / 'orphaned').write_text('up'); f.unlink()"
    )
    parent = (
        "import asyncio, sys; from perdure.worker.child import run_child;"
        "asyncio.run(run_child([sys.executable, '-S', '-c', sys.argv[1], sys.argv[2]], asyncio.Event(), grace_s=1))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, child, str(tmp_path))
    await begun(tmp_path, 1)
    process.kill()
    await process.wait()
    async with asyncio.timeout(PATIENCE_S):
        while not (tmp_path / "orphaned").exists():
            await asyncio.sleep(0.01)


async def test_a_lifeline_that_breaks_stops_the_process_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv(VARIABLE, str(reading))
    stop = asyncio.Event()
    assert watch_lifeline(stop)
    assert VARIABLE not in os.environ
    await asyncio.sleep(0)
    assert not stop.is_set()
    os.close(writing)
    await asyncio.wait_for(stop.wait(), PATIENCE_S)
    os.close(reading)


async def test_without_a_lifeline_nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not watch_lifeline(asyncio.Event())


@pytest.mark.parametrize(
    ("code", "lived_s", "short_lives", "pause_s"),
    [
        (WorkerEnd.RECYCLE.exit_code, 0.5, 0, 0.0),
        (-9, 0.5, 0, 0.0),
        (1, 3600.0, 5, 0.0),
        (1, 0.5, 0, 0.5),
        (1, 0.5, 3, 4.0),
        (-9, 0.5, 1, 1.0),
        (1, 0.5, 50, 30.0),
    ],
)
def test_short_lives_make_growing_pauses(code: int, lived_s: float, short_lives: int, pause_s: float) -> None:
    assert pause_before_restart_s(code, lived_s=lived_s, short_lives=short_lives, dice=1.0) == pause_s
