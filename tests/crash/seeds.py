"""What a test draws by chance, so that it can be drawn again."""

from __future__ import annotations

import os
import random

__all__ = ["seed"]


def seed() -> int:
    """Draw a seed and print it, which a failing test shows; `CRASH_SEED` says which."""
    given = os.environ.get("CRASH_SEED")
    drawn = random.SystemRandom().randrange(1 << 30) if given is None else int(given)
    print(f"CRASH_SEED={drawn} draws the same again")
    return drawn
