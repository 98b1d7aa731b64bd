from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio
from perdure.cli.ending import run_until_told

async def leave():
    raise {error}

async def work():
    try:
        left = asyncio.create_task(leave())
        await asyncio.sleep(60)
    finally:
        print("gave back in order")

raise SystemExit(run_until_told(work(), broken={broken}))
"""


def ended(error: str, *, broken: int | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(error=error, broken=broken)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt"])
def test_a_process_that_an_agents_own_task_broke_gives_nothing_back_in_order(error: str) -> None:
    end = ended(error, broken=70)
    assert (end.returncode, end.stdout) == (70, "")
    assert "came from a task that an agent had started" in end.stderr


def test_a_process_without_agents_ends_in_order_all_the_same() -> None:
    end = ended("SystemExit(3)", broken=None)
    assert (end.returncode, end.stdout) == (3, "gave back in order\n")
