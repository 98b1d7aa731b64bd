"""The lifeline: a pipe by which a child notices that its parent is gone, however it went.

The parent keeps the writing end and never writes; the kernel closes it when the parent dies, even by
SIGKILL, and the child then stops in good order. Unlike a death signal it works on every POSIX system, and
from any thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Self

__all__ = ["VARIABLE", "Lifeline", "watch_lifeline"]

VARIABLE = "PERDURE_LIFELINE"


class Lifeline:
    """The parent's side; made for one child, open until it is closed or the parent dies."""

    def __init__(self) -> None:
        self.reading: int
        self.reading, self._writing = os.pipe()

    def environ(self, base: Mapping[str, str]) -> dict[str, str]:
        """Tell the child where its end is.

        Args:
            base (Mapping[str, str]): The environment it gets besides.

        Returns:
            dict[str, str]: For `subprocess`, together with `pass_fds=[lifeline.reading]`.
        """
        return {**base, VARIABLE: str(self.reading)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for end in (self.reading, self._writing):
            os.close(end)


def watch_lifeline(stop: asyncio.Event) -> bool:
    """Set `stop` when the parent is gone. Call it on the running event loop.

    Args:
        stop (asyncio.Event): What ends this process in good order.

    Returns:
        bool: False where the process was started without a lifeline; nothing is watched then.
    """
    number = os.environ.pop(VARIABLE, "")  # not for this process's own children
    if not number.isdigit():
        return False
    loop, reading = asyncio.get_running_loop(), int(number)
    os.set_inheritable(reading, False)  # noqa: FBT003 - os takes no names

    def gone() -> None:
        loop.remove_reader(reading)
        stop.set()

    loop.add_reader(reading, gone)
    return True
