from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "patterns.md"
SAID = [
    "[0, 1, 2] in 1 flushes",
    "1 call for 50 callers",
    "5 found, 3 turned away",
    "s until 10,000 more may be used",
    "not even tried, again in 1 s",
]


@pytest.mark.parametrize(("place", "said"), list(enumerate(SAID)))
def test_each_example_of_the_guide_runs_and_shows_what_it_is_for(place: int, said: str) -> None:
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)[place]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert said in ran.stdout
