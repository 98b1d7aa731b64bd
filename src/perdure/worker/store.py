"""What a worker needs of a store; `stores.store.Store` has it all, but stores are neighbours, not floors below."""

from __future__ import annotations

from typing import Protocol

from perdure.agents.journal import Journal
from perdure.memory.manager import Memory
from perdure.messages.files import FileStore
from perdure.messages.registry import WorkerRegistry
from perdure.messages.retention import Retention
from perdure.messages.schedules import ScheduleStore
from perdure.messages.store import MessageStore
from perdure.providers.health import HealthStore
from perdure.providers.lanes import LaneStore

__all__ = ["WorkerStore"]


class WorkerStore(Protocol):
    """The views of a store that a worker needs."""

    @property
    def messages(self) -> MessageStore:
        """What it works on."""
        ...

    @property
    def workers(self) -> WorkerRegistry:
        """Where it lives."""
        ...

    @property
    def journal(self) -> Journal:
        """What its runs remember."""
        ...

    @property
    def schedules(self) -> ScheduleStore:
        """What it fires, as any living worker does."""
        ...

    @property
    def retention(self) -> Retention:
        """What it tidies, as any living worker does."""
        ...

    @property
    def memory(self) -> Memory:
        """What its agents keep."""
        ...

    @property
    def lanes(self) -> LaneStore:
        """What limited lanes have lent."""
        ...

    @property
    def files(self) -> FileStore:
        """What of them is gone is tidied, too."""
        ...

    @property
    def health(self) -> HealthStore:
        """How providers are."""
        ...
