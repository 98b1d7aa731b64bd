"""What OpenAI has behind `/v1` and we have not."""

from __future__ import annotations

from perdure.errors.base import NotFound, PerdureError

_INSTEAD = "There are chat/completions, completions, embeddings, responses, files, batches and models; messages are at /api/v1/messages."

__all__ = ["nothing_here"]


def nothing_here(path: str) -> PerdureError:
    """Say why a path of `/v1` leads nowhere.

    Args:
        path (str): As the caller asked for it.

    Returns:
        PerdureError: `NotFound`.
    """
    return NotFound(f"there is nothing at {path[:200]!r}", hint=_INSTEAD)
