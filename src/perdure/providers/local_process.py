"""Starts the model process, finds one that runs, and ends it. Everything here blocks.

Several programs may want it at the same moment: whoever holds the file lock starts it, the others wait
and find it. A process that is gone but left its file (it crashed) does not answer, and is replaced.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from perdure.errors.base import AccountError, Evidence, Overloaded, Scope, ServerFailed
from perdure.providers.fetch import find_model
from perdure.providers.local_state import ModelState, Places, healthy, read_state, touch

__all__ = ["running_model", "stop_model"]

_START_S = 120.0
_LOOK_S = 0.02
_STOP_S = 10.0


def running_model(data: Path, model: str, *, idle_s: float, models_folder: Path | None = None) -> ModelState:
    """Find the model process of a data folder, starting it if there is none.

    Args:
        data (Path): The data folder.
        model (str): Which model.
        idle_s (float): The process ends after so long without use.
        models_folder (Path | None): Where models lie; None for the usual place.

    Returns:
        ModelState: Where it answers, and with which key.

    Raises:
        AccountError: The model or the package that runs it is not on this machine; the hint says what to type.
        ServerFailed: The process ended while it started.
        Overloaded: It did not start in time.
    """
    places = Places(data)
    state = _alive(places, model)
    if state is not None:
        return state
    file = _model_file(model, models_folder)
    places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with FileLock(str(places.lock), timeout=_START_S):
            return _alive(places, model) or _start(places, model, file, idle_s)
    except Timeout as error:
        raise Overloaded(f"another process has been starting the model for {_START_S:.0f} s", scope=Scope.ENDPOINT) from error


def stop_model(data: Path) -> bool:
    """End the model process of a data folder, if one runs.

    Args:
        data (Path): The data folder.

    Returns:
        bool: True if there was one.
    """
    places = Places(data)
    state = read_state(places.state)
    if state is None or not _serves(state):
        return False
    with suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGTERM)
    until = time.monotonic() + _STOP_S
    while _serves(state) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    return True


def _alive(places: Places, model: str) -> ModelState | None:
    state = read_state(places.state)
    if state is None or state.model != model or not _exists(state.pid):
        return None
    touch(places.state)
    return state if healthy(state) else None


def _serves(state: ModelState) -> bool:
    """Both: neither a stranger that got the same number, nor one that got the same port."""
    return _exists(state.pid) and healthy(state)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _start(places: Places, model: str, file: Path, idle_s: float) -> ModelState:
    command = [sys.executable, "-m", "perdure.providers.local_server", "--model", str(file), "--name", model]
    command += ["--state", str(places.state), "--lock", str(places.lock), "--idle", str(idle_s)]
    handle = os.open(places.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as log:
        # A session of its own: Ctrl-C at the starter's terminal is not meant for it.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - built above
    threading.Thread(target=child.wait, name="local-model-end", daemon=True).start()  # else it would stay as a zombie
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        state = read_state(places.state)
        if state is not None and state.pid == child.pid:
            return state
        if child.poll() is not None:
            raise _ended(places, child.returncode)
        time.sleep(_LOOK_S)
    child.kill()
    raise Overloaded(f"the model did not start within {_START_S:.0f} s", hint=f"See {places.log}.", scope=Scope.ENDPOINT)


def _ended(places: Places, code: int) -> ServerFailed:
    lines = [line for line in places.log.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "without a word"
    return ServerFailed(
        f"the model process ended with {code} while it started: {last}",
        hint=f"See {places.log}.",
        evidence=Evidence(provider="local", rule="local-start"),
    )


def _model_file(model: str, folder: Path | None) -> Path:
    evidence = Evidence(provider="local", rule="local-missing")
    if importlib.util.find_spec("xllamacpp") is None:
        raise AccountError(
            "the package that runs the embedded model is not installed",
            hint="pip install 'perdure[local]'",
            scope=Scope.ENDPOINT,
            evidence=evidence,
        )
    file = find_model(model, folder)
    if file is None:
        raise AccountError(
            f"the model {model!r} is not on this machine", hint=f"perdure models get {model}", scope=Scope.ENDPOINT, evidence=evidence
        )
    return file
