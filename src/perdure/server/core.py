"""What all doors share while the server runs."""

from __future__ import annotations

from perdure.clock import Clock
from perdure.config.settings import ServerSettings
from perdure.providers.models import Models
from perdure.security.validator import Validator
from perdure.server.admission import Admission
from perdure.server.auth import Gate
from perdure.server.feed import Feed
from perdure.server.own_changes import OwnChanges
from perdure.server.parts import ServerParts
from perdure.stores.store import Store
from perdure.worker.lanes import Lanes

__all__ = ["Core"]


class Core:
    """The parts handed in, and what the server makes of them.

    Args:
        parts (ServerParts): What the server is made of.
    """

    def __init__(self, parts: ServerParts) -> None:
        self.parts = parts
        self.store: Store = parts.store
        self.models: Models = parts.models
        self.settings: ServerSettings = parts.settings
        self.clock: Clock = parts.clock
        self.gate: Gate = Gate(parts.store.keys, parts.clock)
        self.feed: Feed = Feed(parts.store.messages)
        self.own_changes: OwnChanges = OwnChanges(parts.store.messages)
        self.lanes: Lanes = Lanes(parts.store.messages, parts.clock, circuit=parts.circuit, several=parts.models.several())
        self.validator: Validator = Validator()
        self.admission: Admission = Admission(parts, self.validator)
