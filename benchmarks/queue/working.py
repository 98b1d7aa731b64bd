"""The worker process of one contender.

python -m benchmarks.queue.working ADAPTER SLOTS
"""

from __future__ import annotations

import inspect
import sys

from benchmarks.queue.driver import load
from benchmarks.queue.loops import run


def main() -> None:
    peer = load(sys.argv[1])
    if inspect.iscoroutinefunction(peer.work):
        run(peer.work(int(sys.argv[2])))
    else:
        peer.work(int(sys.argv[2]))


if __name__ == "__main__":
    main()
