"""Python's collector of cycles, in a process that lives long.

It looks through what was made lately each time seven hundred objects more have come than gone, which a few messages
under way are enough for, and finds next to nothing: what a message leaves goes by itself.
"""

from __future__ import annotations

import gc

__all__ = ["collect_seldom"]

_EVERY = (10_000, 20, 50)


def collect_seldom() -> None:
    """Let the collector leave alone what has been loaded, and look less often at the rest."""
    gc.freeze()
    gc.set_threshold(*_EVERY)
