"""What is known of the running model process: one small file that only its owner may read.

It is there while a process serves, written at once or not at all; whoever uses the model touches it, and
by its age the process knows that nobody does.
"""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

__all__ = ["ModelState", "Places", "healthy", "read_state", "remove_state", "touch", "write_state"]

_HEALTH_S = 5.0


class ModelState(msgspec.Struct, frozen=True):
    """Where the model answers, and with which key."""

    pid: int
    url: str
    key: str
    model: str

    def __repr__(self) -> str:
        return f"ModelState(pid={self.pid}, url={self.url!r}, model={self.model!r})"


class Places:
    """The files of one data folder's model process.

    Args:
        data (Path): The data folder.
    """

    def __init__(self, data: Path) -> None:
        run = data.absolute() / "run"
        self.run: Path = run
        self.state: Path = run / "local-model.json"
        self.lock: Path = run / "local-model.lock"
        self.log: Path = run / "local-model.log"


def read_state(path: Path) -> ModelState | None:
    """Read who serves.

    Args:
        path (Path): The state file.

    Returns:
        ModelState | None: None if nobody does, or the file is no such thing.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=ModelState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_state(path: Path, state: ModelState) -> None:
    """Say who serves.

    Args:
        path (Path): The state file.
        state (ModelState): Where and with which key.
    """
    part = path.with_suffix(f".{state.pid}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(state))
    part.replace(path)


def remove_state(path: Path, pid: int) -> None:
    """Say that this process serves no more, unless another has taken its place.

    Args:
        path (Path): The state file.
        pid (int): Whose it must be.
    """
    state = read_state(path)
    if state is not None and state.pid == pid:
        path.unlink(missing_ok=True)


def touch(path: Path) -> bool:
    """Say that the model is being used.

    Args:
        path (Path): The state file.

    Returns:
        bool: False if nobody serves any more.
    """
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def healthy(state: ModelState) -> bool:
    """Ask the process whether it serves.

    Args:
        state (ModelState): Which.

    Returns:
        bool: False if it is dead, or something else has its port. One that takes long to answer is busy, not dead.
    """
    address = urlsplit(state.url)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=_HEALTH_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except TimeoutError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
