"""The work that every contender's handler does: the message itself says which.

Bodies are 1 KB of JSON, results 200 bytes. `noop` returns at once, `io` waits as for a slow answer,
`crash` pays once (as a step, where there are steps) and then works for two seconds.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.queue.marks import MOST, Marks

Body = dict[str, Any]
Pay = Callable[[], Awaitable[Any]]
MARKS = "BENCH_MARKS"
_TEXT, _RESULT = "x" * 960, "y" * 180
CRASH_S = 2.0
_marks: Marks | None = None


def body(n: int = MOST, do: str = "noop", s: float = 0.0) -> Body:
    """A message's body; number `MOST` is one that nobody follows."""
    return {"n": n, "do": do, "s": s, "text": _TEXT}


def marks() -> Marks:
    """This process's view of the shared marks."""
    global _marks
    if _marks is None:
        _marks = Marks(Path(os.environ[MARKS]))
    return _marks


async def perform(given: Body, pay: Callable[[Pay], Awaitable[Any]] | None = None) -> Body:
    """Do what a message asks for.

    Args:
        given (Body): The message.
        pay (Callable[[Pay], Awaitable[Any]] | None): Makes the paid call as a durable step; None where there are none.
    """
    n, do = given["n"], given["do"]
    marks().began(n)
    if do == "io":
        await asyncio.sleep(given["s"])
    elif do == "crash":

        async def call() -> int:
            marks().paid(n)
            return n

        await (pay(call) if pay else call())
        await asyncio.sleep(CRASH_S)
        marks().ended(n)
    return {"n": n, "text": _RESULT}


def perform_blocking(given: Body) -> Body:
    """The same for contenders whose handlers are plain functions in threads."""
    n, do = given["n"], given["do"]
    marks().began(n)
    if do == "io":
        time.sleep(given["s"])
    elif do == "crash":
        marks().paid(n)
        time.sleep(CRASH_S)
        marks().ended(n)
    return {"n": n, "text": _RESULT}
