"""What all doors share while the server runs."""

from __future__ import annotations

from perdure.security.validator import Validator
from perdure.server.admission import Admission
from perdure.server.auth import Gate
from perdure.server.feed import Feed
from perdure.server.parts import ServerParts

__all__ = ["Core"]


class Core:
    """The parts handed in, and what the server makes of them.

    Args:
        parts (ServerParts): What the server is made of.
    """

    def __init__(self, parts: ServerParts) -> None:
        self.parts = parts
        self.store = parts.store
        self.models = parts.models
        self.settings = parts.settings
        self.clock = parts.clock
        self.gate = Gate(parts.store.keys, parts.clock)
        self.feed = Feed(parts.store.messages)
        self.validator = Validator()
        self.admission = Admission(parts, self.validator)
