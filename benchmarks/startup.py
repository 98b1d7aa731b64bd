"""How long it takes to start: `import perdure` and `perdure --help`, beside a Python that does nothing.

`import perdure` loads names only when they are used, so what its first users cost is shown too. All take
turns, so that a noisy machine is as unkind to each; what counts is the median of each round's ratio to the
bare interpreter of the same round.

    python -m benchmarks.startup [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

AIMS_S = {"import perdure": 0.150, "perdure --help": 0.300}


def commands() -> dict[str, list[str]]:
    perdure = Path(sys.executable).parent / "perdure"
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import perdure": [sys.executable, "-c", "import perdure"],
        "… and write agents": [sys.executable, "-c", "from perdure import App, Run, agent, tool"],
        "… and send": [sys.executable, "-c", "from perdure import AsyncClient"],
        "perdure --help": [str(perdure), "--help"],
    }


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for command in commands().values():
        seconds(command)  # bytecode is written, files are in the page cache
    taken: dict[str, list[float]] = {name: [] for name in commands()}
    for _ in range(rounds):
        for name, command in commands().items():
            taken[name].append(seconds(command))

    bare = taken["python -c pass"]
    print(f"{'':20} {'median':>9} {'min':>9} {'max':>9} {'× bare':>8} {'aim':>9}   ({rounds} rounds)")
    missed = 0
    for name, times in taken.items():
        ratio = statistics.median(mine / base for mine, base in zip(times, bare, strict=True))
        median, aim = statistics.median(times), AIMS_S.get(name)
        verdict = "" if aim is None else f"{aim * 1000:6.0f} ms {'held' if median < aim else 'MISSED'}"
        missed += aim is not None and median >= aim
        print(f"{name:20} {median * 1000:6.0f} ms {min(times) * 1000:6.0f} ms {max(times) * 1000:6.0f} ms {ratio:8.1f} {verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
