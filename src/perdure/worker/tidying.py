"""The round in which what has been kept long enough is forgotten, a bite at a time."""

from __future__ import annotations

from perdure.messages.files import FileStore
from perdure.messages.retention import Keep, Retention

__all__ = ["Tidying"]

TIDY_S = 10.0
MORE_S = 0.05
"""Between two bites, so that whoever writes gets in between."""


class Tidying:
    """Forgets what has been kept long enough.

    Args:
        retention (Retention): Of the store.
        keep (Keep): How long what is kept.
        files (FileStore): What of them is gone, goes.
    """

    def __init__(self, retention: Retention, keep: Keep, files: FileStore) -> None:
        self._retention = retention
        self._keep = keep
        self._files = files

    async def once(self) -> float:
        """Forget one bite.

        Returns:
            float: Seconds until the next round.
        """
        more = (await self._retention.tidy(self._keep)).more
        return MORE_S if await self._files.forget() or more else TIDY_S
