"""What OpenAI has behind `/v1` and we have not: planned things are refused by name, never half-answered."""

from __future__ import annotations

from perdure.errors.base import NotFound, NotYetBuilt, PerdureError

LATER = ("batches",)
_INSTEAD = "Built so far: chat/completions, completions, embeddings, files, models and responses; messages are at /api/v1/messages."

__all__ = ["LATER", "nothing_here"]


def nothing_here(path: str) -> PerdureError:
    """Say why a path of `/v1` leads nowhere.

    Args:
        path (str): As the caller asked for it.

    Returns:
        PerdureError: `NotYetBuilt` for what is planned, else `NotFound`.
    """
    name = path.removeprefix("/v1/").partition("/")[0]
    if name in LATER:
        return NotYetBuilt(f"/v1/{name} is not built yet", hint=_INSTEAD)
    return NotFound(f"there is nothing at {path[:200]!r}", hint=_INSTEAD)
