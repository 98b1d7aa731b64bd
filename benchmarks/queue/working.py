"""The worker process of one contender.

python -m benchmarks.queue.working ADAPTER SLOTS
"""

from __future__ import annotations

import asyncio
import inspect
import sys

from benchmarks.queue.driver import load


def main() -> None:
    peer = load(sys.argv[1])
    if inspect.iscoroutinefunction(peer.work):
        try:
            import uvloop
        except ImportError:
            asyncio.run(peer.work(int(sys.argv[2])))
        else:
            uvloop.run(peer.work(int(sys.argv[2])))
    else:
        peer.work(int(sys.argv[2]))


if __name__ == "__main__":
    main()
