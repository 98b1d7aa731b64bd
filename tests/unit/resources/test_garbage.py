"""The collector of cycles goes on, only less often."""

import subprocess
import sys

CODE = """
import gc, weakref
from perdure.resources.garbage import collect_seldom

class Ring:
    def __init__(self): self.itself = self

collect_seldom()
before = [weakref.ref(Ring())]
kept = [[] for _ in range(40_000)]
print(gc.isenabled(), gc.get_freeze_count() > 1000, before[0]() is None)
"""


def test_cycles_are_still_collected_and_what_was_loaded_is_left_alone() -> None:
    said = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.split() == ["True", "True", "True"]
