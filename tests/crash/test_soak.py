"""At half of full load with retention on, a store and its worker grow to a size and stay there.

SOAK_S=900 pytest tests/crash/test_soak.py        the long form
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

SOAKING = Path(__file__).parent / "soaking.py"
SOAK_S = float(os.environ.get("SOAK_S", "60"))
MIB = 1 << 20


@pytest.mark.timeout(SOAK_S + 240)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_memory_file_and_latency_stay_where_they_are(
    engine: str, database_url: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = [database_url] if database_url else []
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
    assert last["rss_mib"] <= 1.05 * middle["rss_mib"] + 8
    assert last["size_mib"] <= 1.10 * middle["size_mib"] + 8
    assert last["late_ms"] <= 2.0 * middle["late_ms"] + 20
    assert last["a_second"] >= 0.5 * middle["a_second"]


def figures(seconds: list[dict[str, Any]]) -> dict[str, float]:
    """What a stretch of time was like: the largest sizes, and the middle of the rest."""
    return {
        "rss_mib": round(max(one["rss"] for one in seconds) / MIB, 1),
        "size_mib": round(max(one["size"] for one in seconds) / MIB, 1),
        "late_ms": round(1000 * statistics.median(one["late_s"] or 0.0 for one in seconds), 1),
        "a_second": statistics.median(one["done"] for one in seconds),
    }
