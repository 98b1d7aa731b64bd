"""Every door of `/v1`."""

from __future__ import annotations

from perdure.server.door import Door
from perdure.server.openai import batches, chat, completions, embeddings, files, models, queued, responses

DOORS: tuple[Door, ...] = (
    *chat.DOORS, *queued.DOORS, *completions.DOORS, *embeddings.DOORS, *models.DOORS, *files.DOORS, *batches.DOORS, *responses.DOORS,
)  # fmt: skip

__all__ = ["DOORS"]
