"""Every door of `/api/v1`, in the order in which people read of them."""

from __future__ import annotations

from perdure.server.api import (
    agents,
    audit,
    bulk,
    changes,
    dead_letters,
    edits,
    errors,
    groups,
    keys,
    lanes,
    limits,
    messages,
    providers,
    queues,
    runs,
    schedules,
    spending,
    steps,
    workers,
)
from perdure.server.door import Door

DOORS: tuple[Door, ...] = (
    *messages.DOORS,
    *groups.DOORS,
    *steps.DOORS,
    *runs.DOORS,
    *dead_letters.DOORS,
    *edits.DOORS,
    *bulk.DOORS,
    *errors.DOORS,
    *schedules.DOORS,
    *queues.DOORS,
    *limits.DOORS,
    *lanes.DOORS,
    *spending.DOORS,
    *agents.DOORS,
    *workers.DOORS,
    *providers.DOORS,
    *keys.DOORS,
    *audit.DOORS,
    *changes.DOORS,
)

__all__ = ["DOORS"]
