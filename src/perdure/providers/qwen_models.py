"""Whether a Qwen model thinks, by its name.

Names are matched by pattern because new snapshots appear every month; a name that fits none decides by
itself, and the endpoint is the judge.
"""

from __future__ import annotations

from enum import Enum
from fnmatch import fnmatchcase

__all__ = ["Mind", "mind_of"]


class Mind(Enum):
    """Whether a model thinks before it answers."""

    AS_TOLD = "as told"
    ALWAYS = "always"
    NEVER = "never"


_MINDS: tuple[tuple[str, Mind], ...] = (
    ("*-thinking*", Mind.ALWAYS),
    ("qwq*", Mind.ALWAYS),
    ("qvq*", Mind.ALWAYS),
    ("*-instruct*", Mind.NEVER),
    ("qwen3-coder*", Mind.NEVER),
    ("qwen2*", Mind.NEVER),
    ("qwen1*", Mind.NEVER),
    ("qwen-max*", Mind.NEVER),
    ("qwen-long*", Mind.NEVER),
    ("qwen-mt*", Mind.NEVER),
    ("qwen-math*", Mind.NEVER),
    ("qwen-coder*", Mind.NEVER),
    ("qwen-vl*", Mind.NEVER),
)
"""The first pattern that fits decides."""


def mind_of(model: str | None) -> Mind:
    """Say whether a model thinks.

    Args:
        model (str | None): As DashScope or a server of one's own calls it: `qwen-plus`, `Qwen/Qwen3-4B-Thinking-2507`, `qwen3:8b`.

    Returns:
        Mind: `AS_TOLD` too for names we do not know.
    """
    name = (model or "").rpartition("/")[2].lower()
    return next((mind for pattern, mind in _MINDS if fnmatchcase(name, pattern)), Mind.AS_TOLD)
