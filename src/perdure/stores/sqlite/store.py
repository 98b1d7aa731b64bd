"""The store in one SQLite file."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from perdure.clock import Clock, SystemClock
from perdure.stores.sql.audit import SqlAudit
from perdure.stores.sql.batches import SqlBatches
from perdure.stores.sql.bites import SqlDeadLetters
from perdure.stores.sql.calls import SqlCalls
from perdure.stores.sql.errors import SqlErrors
from perdure.stores.sql.files import SqlFiles
from perdure.stores.sql.health import SqlHealth
from perdure.stores.sql.journal import SqlJournal
from perdure.stores.sql.keys import SqlKeys
from perdure.stores.sql.lanes import SqlLanes
from perdure.stores.sql.measures import SqlMeasures
from perdure.stores.sql.memory import SqlMemory
from perdure.stores.sql.messages import SqlMessages
from perdure.stores.sql.responses import SqlResponses
from perdure.stores.sql.runs import SqlRuns
from perdure.stores.sql.schedules import SqlSchedules
from perdure.stores.sql.spending import SqlSpending
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.workers import SqlWorkers
from perdure.stores.sqlite.connection import Synchronous
from perdure.stores.sqlite.engine import Engine
from perdure.stores.sqlite.retention import SqliteRetention

__all__ = ["SqliteStore"]

_CHECK = statement("sequence_get")


class SqliteStore:
    """Keeps everything in one file, for any number of processes of one machine.

    Args:
        path (Path | str): The file; made when it is not there.
        clock (Clock | None): The store's only source of time; None is the machine's.
        synchronous (Synchronous): `full` waits for the disk at each commit and survives a power cut;
            `normal` survives the death of any process, but may lose the last moments to a power cut.
        wait_s (float): How long a call waits for a database that another process holds.
        run_dir (Path | str | None): Where locks and doorbells go, the same for all processes; None is
            `run` beside the file.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        clock: Clock | None = None,
        synchronous: Synchronous = "full",
        wait_s: float = 5.0,
        run_dir: Path | str | None = None,
    ) -> None:
        path = Path(path).absolute()
        self._engine = Engine(
            path,
            clock or SystemClock(),
            synchronous=synchronous,
            wait_s=wait_s,
            run_dir=path.parent / "run" if run_dir is None else Path(run_dir).absolute(),
        )
        self._messages = SqlMessages(self._engine)
        self._workers = SqlWorkers(self._engine)
        self._journal = SqlJournal(self._engine)
        self._runs = SqlRuns(self._engine)
        self._memory = SqlMemory(self._engine)
        self._spending = SqlSpending(self._engine)
        self._keys = SqlKeys(self._engine)
        self._audit = SqlAudit(self._engine)
        self._dead_letters = SqlDeadLetters(self._engine)
        self._schedules = SqlSchedules(self._engine)
        self._errors = SqlErrors(self._engine)
        self._retention = SqliteRetention(self._engine)
        self._lanes = SqlLanes(self._engine)
        self._health = SqlHealth(self._engine)
        self._calls = SqlCalls(self._engine)
        self._files = SqlFiles(self._engine)
        self._batches = SqlBatches(self._engine)
        self._measures = SqlMeasures(self._engine)
        self._responses = SqlResponses(self._engine)

    @property
    def messages(self) -> SqlMessages:
        """Messages and queues."""
        return self._messages

    @property
    def workers(self) -> SqlWorkers:
        """Workers, agents and schemas."""
        return self._workers

    @property
    def journal(self) -> SqlJournal:
        """The steps of runs."""
        return self._journal

    @property
    def runs(self) -> SqlRuns:
        """Runs made of other runs."""
        return self._runs

    @property
    def memory(self) -> SqlMemory:
        """What agents keep between runs."""
        return self._memory

    @property
    def spending(self) -> SqlSpending:
        """What is spent, and the budgets."""
        return self._spending

    @property
    def keys(self) -> SqlKeys:
        """API keys."""
        return self._keys

    @property
    def audit(self) -> SqlAudit:
        """Who did what."""
        return self._audit

    @property
    def dead_letters(self) -> SqlDeadLetters:
        """What people do to dead letters."""
        return self._dead_letters

    @property
    def schedules(self) -> SqlSchedules:
        """Messages that are put by a calendar."""
        return self._schedules

    @property
    def errors(self) -> SqlErrors:
        """What went wrong, counted."""
        return self._errors

    @property
    def retention(self) -> SqliteRetention:
        """Forgetting what was kept long enough."""
        return self._retention

    @property
    def lanes(self) -> SqlLanes:
        """What limited lanes have lent."""
        return self._lanes

    @property
    def health(self) -> SqlHealth:
        """How providers are."""
        return self._health

    @property
    def calls(self) -> SqlCalls:
        """Calls with a key of their caller's own."""
        return self._calls

    @property
    def files(self) -> SqlFiles:
        """What callers hand in, and are handed back."""
        return self._files

    @property
    def batches(self) -> SqlBatches:
        """Files of requests, and how far they have come."""
        return self._batches

    @property
    def measures(self) -> SqlMeasures:
        """How long calls of models take."""
        return self._measures

    @property
    def responses(self) -> SqlResponses:
        """Responses of `/v1/responses` that are kept."""
        return self._responses

    async def __aenter__(self) -> Self:
        """Open it, creating or upgrading what is there.

        Returns:
            Self: The same store, open.
        """
        await self._engine.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it: what was accepted is on disk.

        Args:
            kind (type[BaseException] | None): As Python gives it.
            error (BaseException | None): As Python gives it.
            trace (TracebackType | None): As Python gives it.
        """
        await self._engine.close()

    async def check(self) -> None:
        """Make sure that it answers."""
        await self._engine.read(_check)


def _check(run: Run) -> None:
    run(_CHECK).fetchone()
