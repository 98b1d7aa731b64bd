"""A process that this one started and answers for: from its start to its end, with a lifeline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from perdure.worker.lifeline import Lifeline

__all__ = ["KILL_AFTER_S", "run_child"]

KILL_AFTER_S = 10.0
"""What a child gets beyond its grace before it is killed."""


async def run_child(
    command: Sequence[str],
    stop: asyncio.Event,
    *,
    grace_s: float,
    environ: Mapping[str, str] | None = None,
    pids: set[int] | None = None,
) -> int:
    """Start a process and see it to its end.

    It gets a session of its own, so that a Ctrl-C at the terminal reaches it once, through us.

    Args:
        command (Sequence[str]): What to start.
        stop (asyncio.Event): When set, the child is asked to end, and killed if it does not.
        grace_s (float): What its running messages get then.
        environ (Mapping[str, str] | None): Its environment; None for ours.
        pids (set[int] | None): Holds its process id while it lives.

    Returns:
        int: Its exit code; negative if a signal ended it.

    Raises:
        OSError: It could not be started.
    """
    with Lifeline() as lifeline:
        child = await asyncio.create_subprocess_exec(
            *command,
            env=lifeline.environ(os.environ if environ is None else environ),
            pass_fds=[lifeline.reading],
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        known = set() if pids is None else pids
        known.add(child.pid)
        try:
            return await _see_to_its_end(child, stop, grace_s)
        finally:
            if child.returncode is None:  # we are being cancelled: nobody would look after it
                child.kill()
            known.discard(child.pid)


async def _see_to_its_end(child: asyncio.subprocess.Process, stop: asyncio.Event, grace_s: float) -> int:
    ended, asked = asyncio.ensure_future(child.wait()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            await asyncio.wait({ended}, timeout=grace_s + KILL_AFTER_S)
        if not ended.done():
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        return await ended
    finally:
        asked.cancel()
        ended.cancel()
