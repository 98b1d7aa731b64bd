"""A worker whose store's clock can be set while it works, as a program.

    python shifted.py DATA CLOCK

It reads from the file CLOCK by how many seconds its clock is ahead of the machine's.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

from agents import app

import perdure.clock
import perdure.worker.duties
from perdure.app import build_models, open_store
from perdure.cli.given import load_settings
from perdure.messages.retention import Keep
from perdure.worker.worker import Worker


class Shifted:
    """The machine's clock, as somebody has set it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> float:
        return time.time() + float(self._file.read_text() or 0)


async def main(data: str, file: str) -> None:
    clock = Shifted(Path(file))
    perdure.worker.duties.now = clock.now  # type: ignore[attr-defined]  # what this process takes for the machine's clock
    settings = load_settings("", data=data)
    models = build_models(settings)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_store(settings, clock=clock) as store:
        await Worker(store, app, models, slots=20, clock=clock, keep=Keep(changes_s=None)).run(stop)  # the history is read in the end
    await models.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
