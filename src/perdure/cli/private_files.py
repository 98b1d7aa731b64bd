"""Files that only their owner may read: the first key, the cookie secret."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from perdure.errors.base import ConfigError

__all__ = ["data_folder_for", "read_or_make", "write_private"]


def data_folder_for(data: Path) -> Path:
    """Make the data folder, closed to others.

    Args:
        data (Path): Where.

    Returns:
        Path: The same.

    Raises:
        ConfigError: There can be no folder of ours.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / "run").mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=data / "run"):
            return data
    except OSError as error:
        what = f"the data folder {str(data)!r} cannot be used: {error.strerror or error}"
        raise ConfigError(what, hint="It must be a folder that you may write to: --data, or PERDURE_DATA.") from error


def write_private(path: Path, content: bytes, *, replace: bool = True) -> bool:
    """Write a file of mode 0600, whole or not at all.

    Args:
        path (Path): Where.
        content (bytes): What.
        replace (bool): False leaves a file that is there as it is.

    Returns:
        bool: False if one was there and was left.
    """
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600 from the start
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(made).replace(path)
            return True
        try:
            os.link(made, path)  # fails where one is there, so that of two processes one wins
        except FileExistsError:
            return False
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(made).unlink()


def read_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    """Read a private file, or make it first.

    Args:
        path (Path): Where.
        make (Callable[[], bytes]): What to write if there is none.

    Returns:
        bytes: What is in it; of several processes at once all read the same.
    """
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    write_private(path, make(), replace=False)
    return path.read_bytes()
