"""Who is taken for alive: everything but the model itself, which `test_local.py` starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.errors.base import AccountError
from perdure.providers import local_state
from perdure.providers.local_process import running_model, stop_model
from perdure.providers.local_state import ModelState, Places, write_state


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Takes connections and says nothing, as a process does that has no time."""
    monkeypatch.setattr(local_state, "_HEALTH_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def left(data: Path, server: socket.socket, pid: int) -> ModelState:
    places = Places(data)
    places.run.mkdir(parents=True, exist_ok=True)
    state = ModelState(pid=pid, url=f"http://127.0.0.1:{server.getsockname()[1]}", key="k", model="smollm2")
    write_state(places.state, state)
    return state


def a_dead_pid() -> int:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    return ended.pid


def test_one_that_is_slow_to_answer_is_not_replaced(tmp_path: Path, silent: socket.socket) -> None:
    state = left(tmp_path, silent, os.getpid())
    assert running_model(tmp_path, "smollm2", idle_s=60, models_folder=tmp_path) == state


def test_one_whose_port_is_closed_is_dead_whoever_has_its_number(tmp_path: Path, silent: socket.socket) -> None:
    left(tmp_path, silent, os.getpid())
    silent.close()
    with pytest.raises(AccountError):  # it would start another, for which there is no model here
        running_model(tmp_path, "smollm2", idle_s=60, models_folder=tmp_path)
    assert stop_model(tmp_path) is False


def test_one_whose_number_is_free_is_dead_whoever_has_its_port(tmp_path: Path, silent: socket.socket) -> None:
    left(tmp_path, silent, a_dead_pid())
    with pytest.raises(AccountError):
        running_model(tmp_path, "smollm2", idle_s=60, models_folder=tmp_path)
    assert stop_model(tmp_path) is False
