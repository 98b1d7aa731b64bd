"""What the server is made of; `app.py` and `cli/` fill it in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from perdure.clock import Clock, SystemClock
from perdure.config.settings import QueueSettings, ServerSettings
from perdure.providers.models import Models
from perdure.providers.prices import Prices
from perdure.stores.store import Store
from perdure.worker.circuits import Circuit

__all__ = ["ServerParts"]


@dataclass(frozen=True)
class ServerParts:
    """Everything the server works with. It opens and closes none of it."""

    store: Store
    """An open store."""
    models: Models
    """For `/v1` and for the lanes of `chat`."""
    prices: Prices = field(default_factory=Prices)
    """What chats on `/v1` cost."""
    settings: ServerSettings = field(default_factory=ServerSettings)
    queue: QueueSettings = field(default_factory=QueueSettings)
    circuit: Circuit = field(default_factory=Circuit)
    """When a lane counts as down for calls of `/v1`."""
    clock: Clock = field(default_factory=SystemClock)
    cookie_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Signs sessions of the dashboard; keep it, and sessions outlive a restart."""
    looks_every_s: float = 300.0
    """How far workers' looks at a provider lie apart: a check that somebody asks for is one too."""
    needs_worker: bool = False
    """Whether `/readyz` waits for a living worker, as `perdure up` wants it."""
