"""The store without a disk: the same promises as the others, as long as the process lives."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from perdure.clock import Clock, SystemClock
from perdure.stores.inmemory.audit import InMemoryAudit
from perdure.stores.inmemory.batches import InMemoryBatches
from perdure.stores.inmemory.calls import InMemoryCalls
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.errors import InMemoryErrors
from perdure.stores.inmemory.files import InMemoryFiles
from perdure.stores.inmemory.health import InMemoryHealth
from perdure.stores.inmemory.journal import InMemoryJournal
from perdure.stores.inmemory.keys import InMemoryKeys
from perdure.stores.inmemory.lanes import InMemoryLanes
from perdure.stores.inmemory.letters import InMemoryDeadLetters
from perdure.stores.inmemory.measures import InMemoryMeasures
from perdure.stores.inmemory.memory import InMemoryMemory
from perdure.stores.inmemory.messages import InMemoryMessages
from perdure.stores.inmemory.responses import InMemoryResponses
from perdure.stores.inmemory.retention import InMemoryRetention
from perdure.stores.inmemory.runs import InMemoryRuns
from perdure.stores.inmemory.schedules import InMemorySchedules
from perdure.stores.inmemory.spending import InMemorySpending
from perdure.stores.inmemory.workers import InMemoryWorkers

__all__ = ["InMemoryStore"]


class InMemoryStore:
    """Keeps everything in this process: for tests, and to compare other stores with.

    What is in it is gone with the object, not with `async with`: opened again it holds what it held,
    as a store on disk would after a restart.

    Args:
        clock (Clock | None): Where it takes time from; None is the machine's.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._contents = Contents(clock or SystemClock())
        self._messages = InMemoryMessages(self._contents)
        self._workers = InMemoryWorkers(self._contents)
        self._journal = InMemoryJournal(self._contents)
        self._runs = InMemoryRuns(self._contents)
        self._memory = InMemoryMemory(self._contents)
        self._spending = InMemorySpending(self._contents)
        self._keys = InMemoryKeys(self._contents)
        self._audit = InMemoryAudit(self._contents)
        self._dead_letters = InMemoryDeadLetters(self._contents)
        self._schedules = InMemorySchedules(self._contents, self._messages)
        self._errors = InMemoryErrors(self._contents)
        self._retention = InMemoryRetention(self._contents)
        self._lanes = InMemoryLanes(self._contents)
        self._health = InMemoryHealth(self._contents)
        self._calls = InMemoryCalls(self._contents)
        self._files = InMemoryFiles(self._contents)
        self._batches = InMemoryBatches(self._contents)
        self._measures = InMemoryMeasures(self._contents)
        self._responses = InMemoryResponses(self._contents)

    @property
    def messages(self) -> InMemoryMessages:
        """Messages and queues."""
        return self._messages

    @property
    def workers(self) -> InMemoryWorkers:
        """Workers, agents and schemas."""
        return self._workers

    @property
    def journal(self) -> InMemoryJournal:
        """The steps of runs."""
        return self._journal

    @property
    def runs(self) -> InMemoryRuns:
        """Runs made of other runs."""
        return self._runs

    @property
    def memory(self) -> InMemoryMemory:
        """What agents keep between runs."""
        return self._memory

    @property
    def spending(self) -> InMemorySpending:
        """What is spent, and the budgets."""
        return self._spending

    @property
    def keys(self) -> InMemoryKeys:
        """API keys."""
        return self._keys

    @property
    def audit(self) -> InMemoryAudit:
        """Who did what."""
        return self._audit

    @property
    def dead_letters(self) -> InMemoryDeadLetters:
        """What people do to dead letters."""
        return self._dead_letters

    @property
    def schedules(self) -> InMemorySchedules:
        """Messages that are put by a calendar."""
        return self._schedules

    @property
    def errors(self) -> InMemoryErrors:
        """What went wrong, counted."""
        return self._errors

    @property
    def retention(self) -> InMemoryRetention:
        """Forgetting what was kept long enough."""
        return self._retention

    @property
    def lanes(self) -> InMemoryLanes:
        """What limited lanes have lent."""
        return self._lanes

    @property
    def health(self) -> InMemoryHealth:
        """How providers are."""
        return self._health

    @property
    def calls(self) -> InMemoryCalls:
        """Calls with a key of their caller's own."""
        return self._calls

    @property
    def files(self) -> InMemoryFiles:
        """What callers hand in, and are handed back."""
        return self._files

    @property
    def batches(self) -> InMemoryBatches:
        """Files of requests, and how far they have come."""
        return self._batches

    @property
    def measures(self) -> InMemoryMeasures:
        """How long calls of models take."""
        return self._measures

    @property
    def responses(self) -> InMemoryResponses:
        """Responses of `/v1/responses` that are kept."""
        return self._responses

    async def __aenter__(self) -> Self:
        """Open it.

        Returns:
            Self: The same store.
        """
        self._contents.closed = False
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it: its views answer `StoreClosed` from now on.

        Args:
            kind (type[BaseException] | None): As Python gives it.
            error (BaseException | None): As Python gives it.
            trace (TracebackType | None): As Python gives it.
        """
        self._contents.closed = True

    async def check(self) -> None:
        """Make sure that it is open."""
        with self._contents.open():
            pass
