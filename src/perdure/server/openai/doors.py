"""Every door of `/v1`."""

from __future__ import annotations

from perdure.server.door import Door
from perdure.server.openai import chat, completions, embeddings, files, models, queued

DOORS: tuple[Door, ...] = (*chat.DOORS, *queued.DOORS, *completions.DOORS, *embeddings.DOORS, *models.DOORS, *files.DOORS)

__all__ = ["DOORS"]
