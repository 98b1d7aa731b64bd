"""The store in a PostgreSQL database."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Self

from perdure.clock import Clock
from perdure.errors.base import StoreUnsuitable
from perdure.stores.postgres.connection import Address
from perdure.stores.postgres.engine import Engine
from perdure.stores.postgres.flags import Flags
from perdure.stores.postgres.hot import fits
from perdure.stores.postgres.journal import PostgresJournal
from perdure.stores.postgres.messages import PostgresMessages
from perdure.stores.postgres.received import ReceivedMessages
from perdure.stores.postgres.takeover import PostgresWorkers
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
from perdure.stores.sql.responses import SqlResponses
from perdure.stores.sql.retention import SqlRetention
from perdure.stores.sql.runs import SqlRuns
from perdure.stores.sql.schedules import SqlSchedules
from perdure.stores.sql.spending import SqlSpending
from perdure.stores.sql.statements import Run, statement

__all__ = ["PostgresStore"]

_CHECK = statement("all_paused")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,39}")


class PostgresStore:
    """Keeps everything in one schema of a database, for any number of processes on any machines.

    Args:
        url (str): `postgresql://user:password@host:5432/database`.
        clock (Clock | None): The store's only source of time; None is the database's.
        wait_s (float): How long a call waits for a database that is locked, restarting or out of reach.
        pool (int): At most so many connections of this process for reading and writing; two or three more are
            for news, locks and each worker's heartbeat.
        schema (str): Where the tables are; made when it is not there.
        flags (Flags | None): What the database can do; None is all that PostgreSQL can.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        wait_s: float = 5.0,
        pool: int = 12,
        schema: str = "perdure",
        flags: Flags | None = None,
    ) -> None:
        if not _SCHEMA.fullmatch(schema):
            raise StoreUnsuitable(f"{schema!r} is no name for a schema of ours", hint="Use up to 40 small letters, digits and `_`.")
        self._engine = Engine(Address(url, schema, (flags or Flags()).settled(), wait_s), clock, pool=pool)
        hot = fits(self._engine.address.flags)
        self._messages = PostgresMessages(self._engine) if hot else ReceivedMessages(self._engine)
        self._workers = PostgresWorkers(self._engine)
        self._journal = PostgresJournal(self._engine) if hot else SqlJournal(self._engine)
        self._memory = SqlMemory(self._engine)
        self._spending = SqlSpending(self._engine)
        self._keys = SqlKeys(self._engine)
        self._runs = SqlRuns(self._engine)
        self._audit = SqlAudit(self._engine)
        self._dead_letters = SqlDeadLetters(self._engine)
        self._schedules = SqlSchedules(self._engine)
        self._errors = SqlErrors(self._engine)
        self._retention = SqlRetention(self._engine)
        self._lanes = SqlLanes(self._engine)
        self._health = SqlHealth(self._engine)
        self._calls = SqlCalls(self._engine)
        self._files = SqlFiles(self._engine)
        self._batches = SqlBatches(self._engine)
        self._measures = SqlMeasures(self._engine)
        self._responses = SqlResponses(self._engine)

    @property
    def messages(self) -> ReceivedMessages:
        """Messages and queues."""
        return self._messages

    @property
    def workers(self) -> PostgresWorkers:
        """Workers, agents and schemas."""
        return self._workers

    @property
    def journal(self) -> SqlJournal:
        """The steps of runs."""
        return self._journal

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
    def retention(self) -> SqlRetention:
        """Forgetting what was kept long enough."""
        return self._retention

    @property
    def runs(self) -> SqlRuns:
        """Runs made of other runs."""
        return self._runs

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
        self._engine.news.on_inbox = self._messages.hear
        for view in (self._messages, self._journal):
            if isinstance(view, PostgresMessages | PostgresJournal):
                view.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it: what was accepted is on disk.

        Args:
            kind (type[BaseException] | None): As Python gives it.
            error (BaseException | None): As Python gives it.
            trace (TracebackType | None): As Python gives it.
        """
        for view in (self._messages, self._journal):
            if isinstance(view, PostgresMessages | PostgresJournal):
                await view.close()
        await self._engine.close()

    async def check(self) -> None:
        """Make sure that it answers."""
        await self._engine.read(_check)


def _check(run: Run) -> None:
    run(_CHECK).fetchone()
