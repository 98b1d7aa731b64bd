"""What every engine offers: one store that owns the writer, and its views."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from perdure.agents.journal import Journal
from perdure.agents.runs import Runs
from perdure.errors.patterns import ErrorBook
from perdure.memory.manager import Memory
from perdure.messages.batches import BatchStore
from perdure.messages.calls import CallStore
from perdure.messages.dead_letters import DeadLetters
from perdure.messages.files import FileStore
from perdure.messages.registry import WorkerRegistry
from perdure.messages.responses import ResponseStore
from perdure.messages.retention import Retention
from perdure.messages.schedules import ScheduleStore
from perdure.messages.spending import Spending
from perdure.messages.store import MessageStore
from perdure.monitor.measures import MeasureBook
from perdure.providers.health import HealthStore
from perdure.providers.lanes import LaneStore
from perdure.security.audit import AuditLog
from perdure.security.keys import KeyStore

__all__ = ["Store"]


class Store(Protocol):
    """Where everything is kept. Open it with `async with`; its views live as long as it is open."""

    @property
    def messages(self) -> MessageStore:
        """Messages and queues."""
        ...

    @property
    def workers(self) -> WorkerRegistry:
        """Workers, agents and schemas."""
        ...

    @property
    def journal(self) -> Journal:
        """The steps of runs."""
        ...

    @property
    def runs(self) -> Runs:
        """Runs made of other runs."""
        ...

    @property
    def spending(self) -> Spending:
        """What is spent, and the budgets."""
        ...

    @property
    def memory(self) -> Memory:
        """What agents keep between runs."""
        ...

    @property
    def keys(self) -> KeyStore:
        """API keys."""
        ...

    @property
    def audit(self) -> AuditLog:
        """Who did what."""
        ...

    @property
    def dead_letters(self) -> DeadLetters:
        """What people do to dead letters."""
        ...

    @property
    def schedules(self) -> ScheduleStore:
        """Messages that are put by a calendar."""
        ...

    @property
    def errors(self) -> ErrorBook:
        """What went wrong, counted."""
        ...

    @property
    def retention(self) -> Retention:
        """Forgetting what was kept long enough."""
        ...

    @property
    def lanes(self) -> LaneStore:
        """What limited lanes have lent."""
        ...

    @property
    def health(self) -> HealthStore:
        """How providers are."""
        ...

    @property
    def calls(self) -> CallStore:
        """Calls with a key of their caller's own."""
        ...

    @property
    def files(self) -> FileStore:
        """What callers hand in, and are handed back."""
        ...

    @property
    def batches(self) -> BatchStore:
        """Files of requests, and how far they have come."""
        ...

    @property
    def measures(self) -> MeasureBook:
        """How long calls of models take."""
        ...

    @property
    def responses(self) -> ResponseStore:
        """Responses of `/v1/responses` that are kept."""
        ...

    async def __aenter__(self) -> Self:
        """Open it, creating or upgrading what is there.

        Returns:
            Self: The same store, open.

        Raises:
            StoreUnsuitable: A network file system, a newer schema, a damaged file.
        """
        ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it: what was accepted is on disk. Closing twice is harmless.

        Args:
            kind (type[BaseException] | None): As Python gives it.
            error (BaseException | None): As Python gives it.
            trace (TracebackType | None): As Python gives it.
        """
        ...

    async def check(self) -> None:
        """Make sure that it answers; for `/readyz`.

        Raises:
            StoreError: It does not.
        """
        ...
