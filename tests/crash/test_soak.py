"""At half of full load with retention on, a store and its worker grow to a size and stay there.

SOAK_S=900 pytest tests/crash/test_soak.py        the long form

In a minute on a machine that others use too a third of the time says little: then only what grows without end is found, and how late
answers come, which follows what the neighbours do, is told and not judged. The long form is strict.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import statistics
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from servers.server import Server

SOAKING = Path(__file__).parent / "soaking.py"
SOAK_S = float(os.environ.get("SOAK_S", "60"))
MIB = 1 << 20
LONG_S = 300.0


class Bounds(NamedTuple):
    """How much more the last third may take than the middle one: a factor and something on top."""

    rss: tuple[float, float]
    size: tuple[float, float]
    late: tuple[float, float]
    rate: float


STRICT = Bounds(rss=(1.05, 8), size=(1.10, 8), late=(2.0, 20), rate=0.5)
GENEROUS = Bounds(rss=(1.25, 24), size=(1.5, 32), late=(1.0, math.inf), rate=0.1)


@pytest.fixture
async def soaked_url(engine: str, request: pytest.FixtureRequest) -> AsyncIterator[str | None]:
    """A database whose server looks for dead rows often enough to be seen within a minute."""
    if engine == "sqlite":
        yield None
        return
    async with Server(autovacuum_naptime="3s") as server:
        yield await server.create("soak")


@pytest.mark.timeout(SOAK_S + 240)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_memory_file_and_latency_stay_where_they_are(
    engine: str, soaked_url: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = [soaked_url] if soaked_url else []
    (data := tmp_path / "data").mkdir(mode=0o700)
    log = tmp_path / "soak.log"
    with log.open("wb") as said:
        soak = await asyncio.create_subprocess_exec(
            sys.executable, str(SOAKING), str(data), str(SOAK_S), *url, stdout=asyncio.subprocess.PIPE, stderr=said
        )
        out, _ = await soak.communicate()
    assert soak.returncode == 0, log.read_text()[-4000:]
    seconds = [json.loads(line) for line in out.splitlines()]
    third = len(seconds) // 3
    _, middle, last = (figures(part) for part in (seconds[:third], seconds[third : 2 * third], seconds[2 * third :]))
    with capsys.disabled():
        print(f"\nsoak of {SOAK_S:g} s on {engine}: {sum(one['done'] for one in seconds)} messages\n  middle {middle}\n  last   {last}")
    bounds = STRICT if SOAK_S >= LONG_S else GENEROUS
    for name, (factor, more) in (("rss_mib", bounds.rss), ("size_mib", bounds.size), ("late_ms", bounds.late)):
        assert last[name] <= factor * middle[name] + more, name
    assert last["a_second"] >= bounds.rate * middle["a_second"]


def figures(seconds: list[dict[str, Any]]) -> dict[str, float]:
    """What a stretch of time was like: the largest sizes, and the middle of the rest."""
    return {
        "rss_mib": round(max(one["rss"] for one in seconds) / MIB, 1),
        "size_mib": round(max(one["size"] for one in seconds) / MIB, 1),
        "late_ms": round(1000 * statistics.median(one["late_s"] or 0.0 for one in seconds), 1),
        "a_second": statistics.median(one["done"] for one in seconds),
    }
